"""Embedders on command lines: do like vectors mean like commands, and what do they cost?

    python benchmarks/embeddings.py [--ours NAME ...] [--data DIR] [--peers NAME ...] [--quick]
                                    [--json FILE] [--markdown FILE]

(a) Retrieval, MRR@10 and the share of queries with a hit among the first ten. A command finds others that do the same
    (other flags, paths, order; another tool), a sentence finds its command, an obfuscated line finds the line, a line
    of a documentation page finds the page's others. Among the candidates are lines in nearly the same words that do
    something else, and lines of the bundled lexicon.
(b) Near-duplicates: labelled pairs; each model's threshold is chosen on other pairs so that at most 2 % of those that
    differ are joined. By the cosine alone, and as `cmdclf dedup` decides: cosine and equal behaviour.
(c) Malicious or benign by the 15 nearest neighbours, weighted by cosine; no source is on both sides. On the public
    pools with --data, else on the lexicon (whole topics left out), which the bundled model's training has seen.
(d) Lines per second, size, and the peak memory of a process that only loads the model and embeds.

Each model runs in a process of its own, one after the other. A peer that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _embedding_models import PEERS
from _embedding_scores import Figure, Pairs, by_cluster, difference, figures_of
from _embedding_tasks import QUICK, Sizes, Tasks, build

from cmdclf.errors import CmdclfError

HERE = Path(__file__).parent
QUICK_PEERS = ("minilm", "tfidf")
Row = dict[str, Any]


def measured(model: str, tasks: Path, work: Path, cache: Path) -> dict[str, Any]:
    """What the model's own process found."""
    out = work / "result.json"
    out.unlink(missing_ok=True)
    start = time.perf_counter()
    command = [sys.executable, str(HERE / "_embedding_models.py"), model, str(tasks), str(out), str(cache)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
        return {"model": model, "name": PEERS.get(model, model), "missing": last}
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    print(f"  {result['name']}: {result.get('missing') or f'{time.perf_counter() - start:.0f} s'}", file=sys.stderr)
    return result


def shown(figure: Figure | None) -> str:
    """A figure as the tables print it."""
    if figure is None or figure.value is None:
        return "-"
    value = figure.value
    if figure.unit == "share":
        low, high = figure.interval or (0, 1)
        return f"{value:.1%} ({low:.1%}-{high:.1%})"
    return (
        f"{value:.3f}"
        if figure.unit in {"MRR@10", "top-10", "AUC", "cosine"}
        else f"{value:,.{1 if value < 100 else 0}f}"
    )


def table_of(found: dict[str, list[Figure]]) -> tuple[list[str], list[list[str]]]:
    """Header and cells: a row for each case, a column for each model."""
    cases: dict[tuple[str, str], dict[str, Figure]] = {}
    for name, figures in found.items():
        for figure in figures:
            cases.setdefault((figure.case, figure.unit), {})[name] = figure
    cells = [
        [f"{case}, {unit}" if unit else case, *(shown(row.get(name)) for name in found),
         f"{next(iter(row.values())).n:,}"]
        for (case, unit), row in cases.items()
    ]  # fmt: skip
    return ["", *found, "n"], cells


def rows_of(found: dict[str, list[Figure]]) -> list[Row]:
    """The first model against each other one, case by case."""
    ours, *peers = found
    rows = []
    for figure in found[ours]:
        others = [(peer, f) for peer in peers for f in found[peer] if (f.case, f.unit) == (figure.case, figure.unit)]
        for peer, other in others or [("", None)]:
            ratio = round(figure.value / other.value, 3) if other and other.value and figure.value is not None else None
            row: Row = {"case": figure.case, "ours": _rounded(figure.value), "peer": other and _rounded(other.value),
                        "peer_name": peer, "ratio": ratio, "unit": figure.unit, "n": figure.n}  # fmt: skip
            if figure.interval:
                row["ours_ci95"] = [round(x, 4) for x in figure.interval]
            if other is not None and (interval := difference(figure, other)):
                row["difference_ci95"] = interval
            rows.append(row)
    return rows


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def notes_of(tasks: Tasks, pairs: Pairs, rows: list[Row], missing: list[str]) -> list[str]:
    """What the table is taken over, and how sure the differences are."""
    notes = [f"{task.name}: {task.about}" for task in tasks.retrieval]
    notes += [f"near-duplicates: {pairs.behaviour_alone()}"] if pairs.ready else []
    notes.append(f"15-NN: {tasks.knn_about}")
    peers = list(dict.fromkeys(row["peer_name"] for row in rows if row.get("difference_ci95")))
    for peer in peers[:1]:
        mine = [
            row for row in rows if row["peer_name"] == peer and "difference_ci95" in row and row["unit"] != "top-10"
        ]
        sure = [f"{row['case']} {low:+.3f} to {high:+.3f}" for row in mine for low, high in [row["difference_ci95"]]]
        notes.append(f"ours less {peer}, 95 % interval: {'; '.join(sure)}")
    return notes + [f"left out: {reason}" for reason in tasks.left_out + missing]


def printed(header: list[str], cells: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [header, *cells]) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, *cells]
    )


def markdown(header: list[str], cells: list[list[str]], notes: list[str]) -> str:
    lines = [header, ["---", *("---:" for _ in header[1:])], *cells]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + [""] + [f"- {note}" for note in notes]) + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--ours", nargs="+", default=["bundled"], metavar="NAME", help="embedders; the first is compared"
    )
    parser.add_argument("--peers", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}; all by default")
    parser.add_argument("--data", type=Path, metavar="DIR", help="malicious_dev.parquet and benign_dev.parquet")
    pairs = HERE / "pairs"
    parser.add_argument("--equivalent", type=Path, default=pairs / "equivalent.jsonl", metavar="FILE")
    parser.add_argument("--near", type=Path, default=pairs / "near.jsonl", metavar="FILE", help="pairs that are judged")
    calibration = HERE.parent / "data" / "pairs" / "near.jsonl"
    parser.add_argument("--calibration", type=Path, default=calibration, metavar="FILE", help="pairs for thresholds")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep exported and distilled peers there")
    parser.add_argument("--quick", action="store_true", help="ends within 50 seconds on 2 cores: fewer lines and peers")
    parser.add_argument("--json", metavar="FILE", help="write the result there")
    parser.add_argument("--markdown", metavar="FILE", help="write the table there")
    args = parser.parse_args()
    args.peers = args.peers if args.peers is not None else list(QUICK_PEERS if args.quick else PEERS)
    if unknown := set(args.peers) - set(PEERS):
        parser.error(f"no peer is called {', '.join(sorted(unknown))}: {', '.join(PEERS)}")
    return args


def main() -> int:
    args = arguments()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="embeddings-") as folder:
        work, cache = Path(folder), args.cache or Path(folder) / "models"
        cache.mkdir(parents=True, exist_ok=True)
        try:
            tasks = build(QUICK if args.quick else Sizes(), args.equivalent, args.calibration, args.near, args.data)
            pairs = Pairs(tasks)
        except CmdclfError as error:
            print(error, file=sys.stderr)
            return 2
        tasks.save(work / "tasks.json")
        results = [measured(model, work / "tasks.json", work, cache) for model in [*args.ours, *args.peers]]
        missing = [f"{result['name']}: {result['missing']}" for result in results if "missing" in result]
        if "missing" in results[0]:
            print(missing[0], file=sys.stderr)
            return 2
        results = [result for result in results if "missing" not in result]
        try:
            found = {result["name"]: figures_of(tasks, pairs, result) for result in results}
        except CmdclfError as error:
            print(error, file=sys.stderr)
            return 2
    rows = rows_of(found)
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    header, cells = table_of(found)
    notes = notes_of(tasks, pairs, rows, missing)
    print(f"{printed(header, cells)}\n\n" + "\n".join(notes) + f"\n{machine}, {time.perf_counter() - start:.0f} s")
    if args.markdown:
        Path(args.markdown).write_text(markdown(header, cells, notes), encoding="utf-8")
    if args.json:
        memory = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        detail = {result["name"]: by_cluster(tasks, result) for result in results}
        result = {
            "name": "embeddings",
            "machine": machine,
            "rows": rows,
            "memory_mb": memory,
            "notes": notes,
            "detail": detail,
        }
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
