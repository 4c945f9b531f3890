"""What redaction finds, what it takes for a secret in vain, and how fast it is; detect-secrets as the peer.

    python benchmarks/redaction.py [--quick] [--json FILE] [--data FOLDER]

The test set lies in benchmarks/redaction: `NAME-secrets.jsonl` (platform, line, secrets: exact substrings that must go;
hidden: secrets that the line carries encoded) and `NAME-clean.jsonl` (platform, line). The patterns were made by
`development`; each `heldout-N` was written after a freeze of the patterns, and docs/redaction.md says what was found
then. What this program prints is what the patterns of today find.

  recall     a secret is found when no run of six characters of it is left in the redacted line and the decoded texts
             that go with it; runs that the rest of the line holds as well do not count, nor do placeholders.
  false hits clean lines that come back changed.
  beside     lines with secrets in which something was replaced that is no part of a secret.
  lines/s    lines of the bundled lexicon, every template equally often, by process time: `plain` is `redact_batch`,
             `decoded` is `redact_hidden_batch`, which also decodes what lines hide; two processes share the lines.

The peer is no dependency; its rows are left out where it is not installed. It scans a file of the lines with its
default plugins and filters (`file`), and each line alone (`line`), as its hooks do with text that is in no file. A
secret counts as found when no run of six characters is left after what it reports is cut out of the line; a clean line
counts as hit when it reports anything for it. With --data the lines of public pools (Parquet with command_line, label
where known) are redacted as well: the share of lines that change, by file and label.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.stats import beta

from cmdclf.lexicon.batch import BatchRenderer
from cmdclf.lexicon.pools import LexiconPool
from cmdclf.lines import redact, redact_batch, redact_hidden, redact_hidden_batch

FOLDER = Path(__file__).parent / "redaction"
RUN = 6
_PLACEHOLDER = re.compile(r"<secret:[a-z]{1,20}>")


# ---------------------------------------------------------------- recall and false hits


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of one file of the test set."""
    return [json.loads(row) for row in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


def parts() -> list[str]:
    return sorted(path.name.removesuffix("-secrets.jsonl") for path in FOLDER.glob("*-secrets.jsonl"))


def is_left(secret: str, shown: str, rest: str) -> bool:
    """Whether a run of the secret is in what is shown, other than by the rest of the line."""
    width = min(RUN, len(secret))
    runs = {secret[i : i + width] for i in range(len(secret) - width + 1)}
    return any(run in shown and run not in rest for run in runs)


def without(line: str, values: list[str]) -> str:
    for value in sorted(values, key=len, reverse=True):
        line = line.replace(value, "\0") if value else line
    return line


def of_part(part: str) -> dict[str, Any]:
    """Counts of one part under today's patterns."""
    found = secrets = beside = 0
    lines = rows(f"{part}-secrets.jsonl")
    for row in lines:
        shown = redact_hidden(row["line"], row["platform"])
        text = _PLACEHOLDER.sub("\0", "\n".join((shown.text, *shown.decoded)))
        rest = without(row["line"], row["secrets"])
        wanted = [*row["secrets"], *row.get("hidden", [])]
        secrets += len(wanted)
        found += sum(not is_left(secret, text, rest) for secret in wanted)
        places = [i for s in row["secrets"] for m in re.finditer(re.escape(s), row["line"]) for i in range(*m.span())]
        inside = set(places)
        beside += any(inside.isdisjoint(range(s.start, s.end)) for s in redact(row["line"]).found)
    clean = rows(f"{part}-clean.jsonl")
    hits = sum(redact_hidden(row["line"], row["platform"]).text != row["line"] for row in clean)
    return {
        "part": part,
        "lines": len(lines),
        "secrets": secrets,
        "found": found,
        "beside": beside,
        "clean": len(clean),
        "hits": hits,
    }


def interval(k: int, n: int) -> tuple[float, float]:
    """Clopper-Pearson at 95 %."""
    low = 0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))
    return low, high


def share(k: int, n: int) -> str:
    low, high = interval(k, n)
    return f"{k}/{n} = {100 * k / n:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


# ---------------------------------------------------------------- the peer


def peer_by_file(lines: list[str]) -> list[list[str]]:
    """What detect-secrets reports for each line of a file with its defaults."""
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings

    with tempfile.TemporaryDirectory() as folder, default_settings():
        path = Path(folder) / "lines.txt"
        path.write_text("\n".join(line.replace("\n", " ").replace("\r", " ") for line in lines), encoding="utf-8")
        found = SecretsCollection()
        found.scan_file(str(path))
        out: list[list[str]] = [[] for _ in lines]
        for _, secret in found:
            out[secret.line_number - 1].append(secret.secret_value or "")
    return out


def peer_by_line(lines: list[str]) -> list[list[str]]:
    """What detect-secrets reports for each line on its own."""
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import default_settings

    with default_settings():
        return [[secret.secret_value or "" for secret in scan_line(line)] for line in lines]


def of_peer(part: str, lexicon: list[str]) -> Iterator[dict[str, Any]]:
    lines, clean = rows(f"{part}-secrets.jsonl"), rows(f"{part}-clean.jsonl")
    for how, scan in (("file", peer_by_file), ("line", peer_by_line)):
        found = secrets = 0
        for row, reported in zip(lines, scan([row["line"] for row in lines]), strict=True):
            text, rest = without(row["line"], reported), without(row["line"], row["secrets"])
            secrets += len(row["secrets"])
            found += sum(not is_left(secret, text, rest) for secret in row["secrets"])
        hits = sum(map(bool, scan([row["line"] for row in clean])))
        begin = time.process_time()
        scan(lexicon)
        rate = len(lexicon) / (time.process_time() - begin)
        yield {
            "part": part,
            "peer": f"detect-secrets, {how}",
            "secrets": secrets,
            "found": found,
            "clean": len(clean),
            "hits": hits,
            "lines_per_s": round(rate),
        }


# ---------------------------------------------------------------- speed


def lexicon_lines(n: int) -> pa.Table:
    templates = LexiconPool().lexicon.templates
    which = np.random.default_rng(0).integers(0, len(templates), n)
    lines, _ = BatchRenderer(templates).render(which, 1)
    return pa.table({"platform": [templates[i].platform for i in which], "line": lines}).combine_chunks()


def _timed(how: str, table: pa.Table) -> float:
    lines, where = table["line"].combine_chunks(), table["platform"].combine_chunks()
    begin = time.process_time()
    if how == "plain":
        redact_batch(lines)
    else:
        redact_hidden_batch(lines, where)
    return time.process_time() - begin


def speed(n: int) -> dict[str, Any]:
    table = lexicon_lines(n)
    out: dict[str, Any] = {"lines": n}
    with ProcessPoolExecutor(2) as pool:
        for how in ("plain", "decoded"):
            _timed(how, table.slice(0, 2000))
            out[f"{how}_1_process"] = round(n / min(_timed(how, table) for _ in range(2)))
            halves = [table.slice(0, n // 2).combine_chunks(), table.slice(n // 2).combine_chunks()]
            list(pool.map(_timed, [how] * 2, [table.slice(0, 2000).combine_chunks()] * 2))
            out[f"{how}_2_processes"] = round(n / max(pool.map(_timed, [how] * 2, halves)))
    return out


# ---------------------------------------------------------------- public pools


def of_pools(folder: Path) -> Iterator[dict[str, Any]]:
    """The share of changed lines of each file and label; lines are never printed."""
    for path in sorted(folder.rglob("*.parquet")):
        schema = pq.read_schema(path)
        if "command_line" not in schema.names:
            continue
        table = pq.read_table(path, columns=[c for c in ("command_line", "label") if c in schema.names])
        lines = table["command_line"].combine_chunks().cast(pa.string())
        changed = pc.fill_null(pc.not_equal(redact_batch(lines)[0], lines), False)
        label = table["label"].cast(pa.string()) if "label" in schema.names else pa.nulls(len(lines), pa.string())
        counted = pa.table({"label": label, "changed": changed.cast(pa.int64())}).group_by("label")
        for row in counted.aggregate([("changed", "sum"), ("changed", "count")]).to_pylist():
            yield {
                "file": path.name,
                "label": row["label"],
                "lines": row["changed_count"],
                "changed": row["changed_sum"],
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer lines for the speed")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="public pools in Parquet")
    args = parser.parse_args()
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "parts": [],
        "peer": [],
        "pools": [],
    }
    for part in parts():
        row = of_part(part)
        result["parts"].append(row)
        print(
            f"{part}: recall {share(row['found'], row['secrets'])}, false hits {share(row['hits'], row['clean'])}",
            end="",
        )
        print(f", beside {row['beside']} of {row['lines']} lines", flush=True)
    result["speed"] = speed(20_000 if args.quick else 200_000)
    print("lines/s:", ", ".join(f"{k} {v:,}" for k, v in result["speed"].items() if k != "lines"), flush=True)
    if importlib.util.find_spec("detect_secrets"):
        sample = lexicon_lines(500 if args.quick else 5_000)["line"].to_pylist()
        for part in parts():
            for row in of_peer(part, sample):
                result["peer"].append(row)
                print(f"{row['peer']}, {part}: recall {share(row['found'], row['secrets'])}", end="")
                print(f", false hits {share(row['hits'], row['clean'])}, {row['lines_per_s']:,} lines/s", flush=True)
    else:
        print("detect-secrets is not installed (no dependency): its rows are left out")
    if args.data:
        for row in of_pools(args.data):
            result["pools"].append(row)
            print(f"{row['file']} {row['label']}: {share(row['changed'], row['lines'])} changed", flush=True)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
