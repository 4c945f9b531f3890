"""`cmdclf lexicon check`, `stats` and `slots`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._messages import say

if TYPE_CHECKING:
    from cmdclf.lexicon.slot_table import SlotNote

__all__ = ["add_arguments", "run"]

_TABLES = ("platform", "role", "tool", "technique")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "action",
        choices=("check", "stats", "slots"),
        help="check: faults of the templates; stats: how many of what; slots: all slots as a Markdown table",
    )
    parser.add_argument("--dir", metavar="DIR", help="folder with *.toml files (default: the bundled lexicon)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the statistics or the faults as JSON too")
    parser.add_argument(
        "--top", type=int, default=25, metavar="N", help="rows of each statistics table, 0 for all (default 25)"
    )


def run(args: argparse.Namespace) -> int:
    """Print faults, counts or slots; 2 where there are faults."""
    if args.action == "slots":
        from cmdclf.lexicon.slot_table import slot_table

        say(_slots(slot_table()))
        return 0
    from cmdclf.lexicon import Lexicon

    lexicon = Lexicon.load(args.dir)
    if args.action == "check":
        faults = lexicon.check()
        for fault in faults:
            say(fault)
        say(f"{len(lexicon)} templates, {len(faults)} faults")
        _write(args.json, {"templates": len(lexicon), "faults": faults})
        return 2 if faults else 0
    from cmdclf.lexicon.stats import lexicon_stats

    stats = lexicon_stats(lexicon.templates)
    _print_stats(stats, args.top)
    _write(args.json, stats)
    return 0


def _write(path: Path | None, content: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _print_stats(stats: dict[str, Any], top: int) -> None:
    say(f"{stats['templates']} templates of {stats['tools']} tools, {stats['twin_pairs']} pairs of twins")
    say(
        f"{stats['techniques']} techniques of ATT&CK, {stats['techniques_and_subtechniques']} with each "
        "sub-technique counted"
    )
    for label, count in stats["labels"].items():
        length = count["length"]
        say(
            f"{label}: {count['templates']}; recurring {count['recurring']}, hard {count['hard']}, with a payload "
            f"{count['payload']}, with a parent {count['parent']}, with a twin {count['twin']}, complex "
            f"{count['complex']} (rare and complex {count['rare_complex']}), "
            f"characters {length['p10']}/{length['p50']}/{length['p90']}/{length['p99']} at 10/50/90/99 %"
        )
    for title in _TABLES:
        say(f"\n{title:<40}{'benign':>8}{'malicious':>11}")
        rows = list(stats[title].items())
        for value, count in rows[: top or len(rows)]:
            say(f"{value:<40}{count['benign']:>8}{count['malicious']:>11}")
        if top and len(rows) > top:
            say(f"... {len(rows) - top} more (--top 0 shows all)")


def _slots(notes: list[SlotNote]) -> str:
    """The table of docs/lexicon.md."""
    lines = ["| slot | gives | on Windows | elsewhere, where it differs |", "|---|---|---|---|"]
    for note in notes:
        shown = [note.written, note.meaning, note.windows, "" if note.linux == note.windows else note.linux]
        written, meaning, windows, linux = (text.replace("|", "\\|") for text in shown)
        lines.append(f"| `{written}` | {meaning} | `{windows}` | {f'`{linux}`' if linux else ''} |")
    return "\n".join(lines)
