"""Sigma rules over a million lines: how many convert, whether the answers are right, how long it takes.

    python benchmarks/sigma_rules.py [--data DIR] [--lines N] [--sample N] [--quick] [--json FILE]

The lines are drawn from the bundled lexicon. DIR is a folder of Sigma rules, for example SigmaHQ's (they are not part
of this package: their licence is their authors'). Without it, rules are made up from the lexicon's own lines.

The peer evaluates pySigma's parse trees in plain Python, record by record (`_sigma_rules_plain.py`); it gives the
answers for a sample, which must be the same match for match, once for lines alone and once with their parents' lines.
Seconds are those of the processor, in one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
from _sigma_rules_plain import image_of, plain_rules, record_of

from cmdclf.lexicon import Lexicon
from cmdclf.lexicon.batch import BatchRenderer
from cmdclf.rules import RuleSet
from cmdclf.rules.sigma import SigmaImport, import_sigma, sigma_levels

LEVELS = ("informational", "low", "medium", "high", "critical")
MADE_UP = 1500


def drawn(n: int, seed: int) -> tuple[pa.StringArray, pa.StringArray, pa.StringArray, np.ndarray]:
    """Lines, their parents', their platforms, and (n,) bool whether they are malicious."""
    templates = list(Lexicon.load())
    which = np.random.default_rng(seed).integers(0, len(templates), n)
    lines, parents = BatchRenderer(templates).render(which, seed)
    where = pa.array([templates[i].platform for i in which], pa.string())
    return lines, parents, where, np.array([templates[i].label == "malicious" for i in which], bool)


def make_up(folder: Path, seed: int) -> None:
    """Rules like those that people write: a program, some words of its line, a filter on the parent."""
    rng = random.Random(seed)
    lines, _, where, _ = drawn(MADE_UP, seed + 1)
    for n, (line, system) in enumerate(zip(lines.to_pylist(), where.to_pylist(), strict=True)):
        words = [word.replace("'", "") for word in line.split()[1:] if len(word) > 2]
        if not words:
            continue
        name = image_of(line, system).replace("'", "").replace("\\", "/").split("/")[-1]
        mark = "\\" if system == "windows" else "/"
        some = ", ".join(f"'{word}'" for word in rng.sample(words, min(len(words), 3)))
        how = rng.choice(["contains", "contains|all", "endswith", "windash|contains"])
        detection = {
            "selection_image": f"Image|endswith: '{mark}{name}'",
            "selection_line": f"CommandLine|{how}: [{some}]",
            "filter": f"ParentImage|endswith: '{mark}{name}'",
        }
        text = "".join(f"    {key}:\n        {value}\n" for key, value in detection.items())
        (folder / f"{n:05}.yml").write_text(
            f"title: made up {n}\nid: 00000000-0000-0000-0000-{n:012}\n"
            f"logsource:\n    category: process_creation\n    product: {system}\n"
            f"detection:\n{text}    condition: all of selection_* and not filter\nlevel: {rng.choice(LEVELS)}\n",
            encoding="utf-8",
        )


def timed(run):
    """(result, seconds of the processor, seconds on the clock)."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = run()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def matches(rules: RuleSet, lines, where, fields) -> set[tuple[int, str]]:
    rows, numbers = rules.pairs(lines, where, fields)
    ids = rules.ids
    return {(row, ids[number]) for row, number in zip(rows.tolist(), numbers.tolist(), strict=True)}


def plain_matches(peer, lines, where, parents) -> set[tuple[int, str]]:
    found = set()
    for row, (line, system) in enumerate(zip(lines.to_pylist(), where.to_pylist(), strict=True)):
        record = record_of(line, system, False if parents is None else parents[row].as_py())
        found |= {(row, name) for name, product, asked in peer if product in ("", system) and asked(record)}
    return found


def levels_row(levels: np.ndarray, malicious: np.ndarray) -> dict[str, dict[str, float]]:
    """Share of malicious and of benign lines whose highest level is at least this one."""
    return {
        name: {
            "malicious": round(float((levels[malicious] > k).mean()), 4),
            "benign": round(float((levels[~malicious] > k).mean()), 5),
        }
        for k, name in enumerate(LEVELS)
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", help="a folder of Sigma rules (default: made up)")
    parser.add_argument("--lines", type=int, default=1_000_000, metavar="N", help="lines for our engine")
    parser.add_argument("--sample", type=int, default=3_000, metavar="N", help="lines for the peer and the check")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="ends within 50 seconds on 2 cores: fewer lines")
    parser.add_argument("--json", metavar="FILE", help="write the result there")
    args = parser.parse_args()
    n_lines, n_sample = (100_000, 400) if args.quick else (args.lines, args.sample)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(args.data) if args.data else Path(made)
        if not args.data:
            make_up(folder, args.seed)
        (found, import_s, _), peer_rules = timed(lambda: import_sigma(folder)), None
        rules = RuleSet(found.rules)
        peer_rules = plain_rules(folder, set(rules.ids))
    lines, parents, where, malicious = drawn(n_lines, args.seed)
    _, build_s, _ = timed(lambda: rules.pairs(lines[:10], where[:10]))
    rows, wrong = [], 0
    few = slice(0, n_sample)
    for case, fields in (("line alone", None), ("line and parent", {"parent_command_line": parents})):
        (at, _), ours_s, wall_s = timed(lambda fields=fields: rules.pairs(lines, where, fields))
        cut = None if fields is None else {"parent_command_line": parents[few]}
        asked = None if fields is None else parents[few]
        ours = matches(rules, lines[few], where[few], cut)
        theirs, peer_s, _ = timed(lambda asked=asked: plain_matches(peer_rules, lines[few], where[few], asked))
        wrong += len(ours ^ theirs)
        ours_us, peer_us = 1e6 * ours_s / n_lines, 1e6 * peer_s / n_sample
        rows.append({
            "case": case, "ours": round(ours_us, 3), "peer": round(peer_us, 1), "peer_name": "plain Python",
            "ratio": round(peer_us / ours_us, 1), "unit": "CPU microseconds a line", "n": n_lines,
            "seconds": round(ours_s, 2), "wall_seconds": round(wall_s, 2), "matches": len(at),
            "checked": len(theirs), "different": len(ours ^ theirs),
        })  # fmt: skip
    levels = levels_row(sigma_levels(rules, lines, where), malicious)
    report(found, rows, levels, n_lines, n_sample, (import_s, build_s))
    if args.json:
        memory = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        result = {
            "name": "sigma_rules", "machine": machine(), "rows": rows, "memory_mb": memory, "levels": levels,
            "import": {"files": found.files, "rules": found.process_creation, "failed": found.failed,
                       "reasons": found.reasons, "seconds": round(import_s, 2), "build_seconds": round(build_s, 2)},
        }  # fmt: skip
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


def machine() -> str:
    return f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"


def report(found: SigmaImport, rows, levels, n_lines: int, n_sample: int, seconds: tuple[float, float]) -> None:
    total = found.process_creation
    print(
        f"{total:,} process-creation rules, {100 * (total - found.failed) / max(1, total):.2f} % converted; {machine()}"
    )
    print(f"import {seconds[0]:.1f} s, first use {seconds[1]:.1f} s")
    for kind, count in Counter(found.reasons).most_common():
        print(f"  set aside: {kind}: {count}")
    print(f"\n{n_lines:,} lines; {n_sample:,} of them for the peer")
    print(
        f"{'fields':<18}{'CPU s':>8}{'clock s':>9}{'us a line':>11}{'peer':>9}{'times':>8}{'matches':>10}{'differ':>8}"
    )
    for r in rows:
        print(f"{r['case']:<18}{r['seconds']:>8.2f}{r['wall_seconds']:>9.2f}{r['ours']:>11.2f}{r['peer']:>9.0f}"
              f"{r['ratio']:>8.0f}{r['matches']:>10,}{r['different']:>8}")  # fmt: skip
    print("\nhighest level at least   malicious   benign")
    for name, share in levels.items():
        print(f"{name:<22}{share['malicious']:>12.1%}{share['benign']:>9.2%}")


if __name__ == "__main__":
    sys.exit(main())
