"""The three cumulative curves over a month: how fast anomalies stop to be new, at full and at reduced scale.

    python benchmarks/curves.py [--quick] [--json FILE] [--svg FILE] [--days N] [--per-day N] [--seed N]

A replay of the bundled lexicon gives the month; then the study's own stages run on it with their default settings:
distinct lines, anomalies at both scales, near-duplicate groups, curves. No judge, no classifier. The curves are checked
against the days on which each line and each group first appear. --svg writes the picture that a study's report shows.

The lexicon is finite, so that its curve must flatten some day: the figures say how the method behaves on such a month,
not when a real estate has shown all it has.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.lexicon.pools import LexiconPool
from cmdclf.lexicon.replay import ReplaySettings, replay
from cmdclf.study import StudyConfig, open_workplace
from cmdclf.study.candidates import stored_anomalies
from cmdclf.study.config import Data
from cmdclf.study.curves import TOGETHER, anomaly_curves, saturation_rows, saturation_text
from cmdclf.study.plots import curves_plot
from cmdclf.study.sieve import find_anomalies, group_anomalies, stored_groups, take_in_days


class Clock:
    """Wall and CPU seconds by stage."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}

    def run(self, name: str, work: Any) -> Any:
        wall, cpu = time.monotonic(), time.process_time()
        result = work()
        self.stages[name] = {
            "seconds": round(time.monotonic() - wall, 1), "cpu": round(time.process_time() - cpu, 1),
        }  # fmt: skip
        return result


def month(folder: Path, settings: ReplaySettings, clock: Clock) -> tuple[dict[str, Any], int, int]:
    """The curves, and how many events and distinct lines they come from."""
    shown = sys.stderr.isatty()
    report = clock.run("replay", lambda: replay(LexiconPool(), folder / "lake", settings, progress=shown))
    config = StudyConfig("curves", folder / "study.toml", Data(folder / "lake", settings.days, 0))
    w = open_workplace(config, folder / "out", progress=shown)
    with w.store:
        clock.run("distinct lines", lambda: take_in_days(w))
        clock.run("anomalies", lambda: find_anomalies(w))
        clock.run("groups", lambda: group_anomalies(w))
        found, groups = stored_anomalies(w), stored_groups(w)
        curves = clock.run("curves", lambda: anomaly_curves(found, groups, w.train_days))
        check(curves, found, groups, w.train_days)
    return curves, report.events, report.distinct


def check(curves: dict[str, Any], found: pa.Table, groups: pa.Table, days: list[Any]) -> None:
    """Stop unless the curves are the running counts of first days."""
    table = found.join(groups.select(["day", "command_id", "representative_id"]), keys=["day", "command_id"])
    for scale, lists in (*curves["by_scale"].items(), (TOGETHER, curves)):
        rows = table if scale == TOGETHER else table.filter(pc.equal(table["scale"], scale))
        for name, column in (("distinct", "command_id"), ("near_distinct", "representative_id")):
            first = rows.group_by(column).aggregate([("day", "min")])["day_min"].to_numpy()
            right = [int((first <= np.datetime64(day)).sum()) for day in days]
            if lists[name] != right:
                raise SystemExit(f"the curve {name} at scale {scale} is wrong")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="14 days of 3,000 events: within 50 seconds on 2 cores")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the table and the curves there too")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="write the picture there")
    parser.add_argument("--days", type=int, default=31, help="(default: %(default)s)")
    parser.add_argument("--per-day", type=int, default=60_000, help="events a day (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the replay (default: %(default)s)")
    args = parser.parse_args()
    days, per_day = (14, 3000) if args.quick else (args.days, args.per_day)
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="cmdclf-curves-") as folder:
        settings = ReplaySettings(days=days, per_day=per_day, seed=args.seed)
        curves, events, distinct = month(Path(folder), settings, clock)
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "name": "curves",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}",
        "rows": [
            {"case": row["scale"], "ours": row["near_distinct"], "peer": None, "peer_name": None, "ratio": None,
             "unit": "near-distinct lines among n anomalies", "n": row["all"], **row}
            for row in saturation_rows(curves)
        ],
        "memory_mb": round(usage / (1024 * 1024 if sys.platform == "darwin" else 1024)),
        "days": days, "events": events, "distinct_lines": distinct, "stages": clock.stages, "curves": curves,
    }  # fmt: skip
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.svg:
        args.svg.write_text(curves_plot(curves), encoding="utf-8")
    return 0


def show(result: dict[str, Any]) -> None:
    print(f"{result['days']} days, {result['events']:,} events, {result['distinct_lines']:,} distinct lines")
    print(f"{'':<10}{'anomalies':>34}{'new near-distinct a day':>26}{'new of distinct':>17}{'below, from day':>17}"
          f"{'N = K n^b':>16}{'next':>9}")  # fmt: skip
    print(f"{'scale':<10}{'all':>10}{'distinct':>10}{'near-distinct':>14}{'first week':>14}{'last week':>12}"
          f"{'last week':>17}{'25 %':>9}{'10 %':>8}{'K':>9}{'b':>7}{'30 days':>9}")  # fmt: skip
    for row in result["rows"]:
        law = (f"{row['K']:.3g}", f"{row['b']:.3f}", f"{row['next_30_days']:,}") if row["b"] else ("–",) * 3
        below = (row["below_25"] or "–", row["below_10"] or "–")
        print(f"{row['scale']:<10}{row['all']:>10,}{row['distinct']:>10,}{row['near_distinct']:>14,}"
              f"{row['first_week']:>14.1f}{row['last_week']:>12.1f}{row['new_share']:>17.1%}{below[0]:>9}{below[1]:>8}"
              f"{law[0]:>9}{law[1]:>7}{law[2]:>9}")  # fmt: skip
    for row in result["rows"]:
        print(f"{row['scale']}: {saturation_text(result['curves'], row['scale'])}")
    stages = result["stages"].items()
    print("seconds: " + ", ".join(f"{name} {s['seconds']} ({s['cpu']} CPU)" for name, s in stages))
    print(f"{result['memory_mb']:,} MB, {result['machine']}")


if __name__ == "__main__":
    sys.exit(main())
