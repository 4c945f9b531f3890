"""Classifiers on lines of sources that they never saw: one protocol, one table, false alerts, obfuscated lines.

    python benchmarks/classifiers.py --data FOLDER [--sigma RULES] [--models NAME...] [--cache DIR] [--quick]
                                     [--json FILE] [--markdown FILE]

FOLDER holds malicious_dev.parquet and benign_dev.parquet (command_line, platform, label; process_command_line, source,
group_id, hard, dual_use), and where there are some verdicts_dev.parquet (platform, process_command_line, verdict),
telemetry_linux.parquet and telemetry_otrf.parquet.

Malicious lines without dual use against benign ones; five folds with whole sources left out, groups never split, test
lines that are near-duplicates of a training line or of a lexicon line removed. Wrappers and values (numbers, names,
addresses) of both labels are drawn anew from the same pools. Rows whose label a recorded verdict contradicts or calls
unsure train nobody who asks for clean labels; judged are all rows, and those that the verdicts confirm. Scores of all
folds are ranked together. Intervals resample whole groups. A rate that fewer than ten false alerts would decide is not
printed. What the models are: _classifier_models.py; RULES are a folder of Sigma's rules (needs pySigma) or a file that
`cmdclf rules import-sigma` wrote.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path

import numpy as np
from _classifier_cache import Cache
from _classifier_folds import Protocol
from _classifier_metrics import LEAST, by_source, figures, measured, threshold_at
from _classifier_models import BLEND_OF, MODELS, QUICK_MODELS
from _classifier_robustness import Respelt, drops, respelt
from _classifier_scores import Extra, Scored, score_all
from _classifier_sigma import levels_table, operating_points, sigma_rules, sigma_specs
from _classifier_tables import TARGETS, house_rows, tables
from _classifier_telemetry import Telemetry, beside, false_alerts, recorded
from _labelled_lines import Lines, from_lexicon, from_pools

from cmdclf.errors import CmdclfError, TelemetryError
from cmdclf.lexicon import Lexicon

QUICK_LINES, QUICK_TELEMETRY = 2_000, 2_000
RESPELT = "respelt"


def protocol_of(args: argparse.Namespace, cache: Cache) -> Protocol:
    """The lines of the data folder and of the lexicon, in folds.

    Raises:
        CmdclfError: a file is missing or faulty, or the lines don't fill five folds.
    """
    paths = [args.data / name for name in ("malicious_dev.parquet", "benign_dev.parquet")]
    for path in paths:
        if not path.is_file():
            raise TelemetryError("no such file", file=path, remedy="Give --data the folder of the labelled pools")
    verdicts = args.data / "verdicts_dev.parquet"
    most = QUICK_LINES if args.quick else None
    pool = from_pools(paths, verdicts if verdicts.is_file() else None, args.seed, redraw=True, most=most)
    lexicon = from_lexicon(Lexicon.load(), 1 if args.quick else 4, args.seed)
    if args.quick:
        lexicon = lexicon.take(np.flatnonzero(np.random.default_rng(args.seed).random(len(lexicon)) < 0.3))
    return Protocol(pool, lexicon, args.seed, cache)


def judged(
    about: str, scored: Scored, protocol: Protocol, telemetry: list[Telemetry], lines: Respelt, draws: int
) -> dict:
    """All figures of one model."""
    pool, keep = protocol.pool, protocol.keep
    benign = scored.pool[keep & ~pool.malicious]
    alarm = threshold_at(benign, 1e-2)
    out = {
        "about": about,
        "measured": measured(pool, keep, scored.pool, draws),
        "sources": by_source(pool, keep, scored.pool, alarm, draws),
        "alerts": {
            t.name: false_alerts(t, scored.extra[t.name], threshold_at(benign, 1e-3))
            for t in telemetry if t.name in scored.extra
        },
        "fit_cpu_s": round(scored.seconds),
    }  # fmt: skip
    rows = keep & pool.agree
    if any(t.benign for t in telemetry) and min(pool.malicious[rows].sum(), (~pool.malicious[rows]).sum()) >= LEAST:
        far = beside(telemetry, scored.extra, pool.malicious[rows], scored.pool[rows], pool.group[rows])
        out["far"] = figures(*far, draws)
    if RESPELT in scored.extra:
        # Each line is scored by the model of its own fold alone.
        said = np.nanmax(scored.extra[RESPELT], axis=0)
        out["robust"] = drops(lines, protocol, scored.pool, said, alarm, draws)
    return out


def notes_of(pool: Lines, protocol: Protocol, missing: list[str], found: dict[str, dict]) -> list[str]:
    """What was left out, and what can't be said."""
    bad = pool.malicious
    notes = [
        f"{len(pool):,} lines of {len(set(pool.source))} sources, {int(bad.sum()):,} malicious; "
        f"{len(protocol.lexicon):,} lines of {len(set(protocol.lexicon.group)):,} lexicon templates"
    ]
    notes += [f"left out on reading: {n:,} rows, {reason}" for reason, n in pool.dropped.items()]
    notes.append(
        f"out of clean training: {int((~pool.clean & bad).sum()):,} malicious and {int((~pool.clean & ~bad).sum()):,} "
        "benign lines that a verdict contradicts or calls unsure"
    )
    r = protocol.removed
    notes.append(
        f"near-duplicates of training lines out of the tests: {r['malicious']:,} malicious, {r['benign']:,} benign "
        f"({r['exact']:,} equal, {r['masked']:,} but for values, {r['cosine']:,} by cosine)"
    )
    unresolved: dict[str, list[str]] = {}
    if not any(of["measured"] for of in found.values()):
        notes.append("no figure is given: after that fewer than 20 lines of one label are left to judge")
    for case, figure in next(iter(found.values()))["measured"].items():
        for name in figure["unresolved"]:
            unresolved.setdefault(name, []).append(f"{case} ({figure['n_benign']:,})")
    notes += [
        f"{name} is not given where benign lines are too few to carry it: {'; '.join(which)}"
        for name, which in unresolved.items()
    ]
    return notes + missing


def verdict_on(ours: str, found: dict[str, dict]) -> list[str]:
    """Each target, what was reached, and by how much it was missed."""
    out = []
    for (case, name), target in TARGETS.items():
        value = (found[ours]["measured"].get(case) or {}).get(name)
        if value is not None:
            state = "reached" if value[0] >= target else f"missed by {target - value[0]:.3f}"
            out.append(f"target {case}, {name} >= {target}: {ours} {value[0]:.3f}, {state}")
    for model, of in found.items():
        for case, mean in of.get("robust", {}).get("mean", {}).items():
            if case.endswith(", all"):
                lost, loss = 100 * mean["drop"][0], 100 * mean["loss"]
                state = "reached" if loss <= 5 else "missed" if lost > 5 else "reached only because gains offset losses"
                if mean["alerts_after"] > 0.02:
                    state += ", but benign lines that are written so alert too"
                out.append(
                    f"target <= 5 points lost, {case}: {model} {lost:.1f}, gains as 0 {loss:.1f}, {state}; "
                    f"benign lines alert {mean['alerts_before']:.3f} before, {mean['alerts_after']:.3f} after"
                )
    return out


def printed(title: str, head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    text = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]]
    return "\n".join(["", title, *text])


def markdown(title: str, head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join([f"\n{title}:\n", *("| " + " | ".join(row) + " |" for row in lines)]) + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="labelled pools and telemetry")
    parser.add_argument("--sigma", type=Path, metavar="RULES", help="Sigma's rules, rows of their own: folder or file")
    parser.add_argument("--models", nargs="+", metavar="NAME", help=f"of: {'; '.join(MODELS)}")
    parser.add_argument("--ours", metavar="NAME", help="the model that others are compared with (blend, else the last)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep models and scores there between runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--quick", action="store_true", help="ends within 50 seconds on 2 cores: fewer lines and models"
    )
    parser.add_argument("--json", metavar="FILE", help="write the result there")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables there")
    args = parser.parse_args()
    args.models = args.models or list(QUICK_MODELS if args.quick else MODELS)
    if unknown := set(args.models) - set(MODELS):
        parser.error(f"no model is called {', '.join(sorted(unknown))}: {'; '.join(MODELS)}")
    needed = [*BLEND_OF] if "blend" in args.models else []
    args.models = [name for name in MODELS if name in {*args.models, *needed}]
    args.ours = args.ours or next((n for n in ("blend", "grams") if n in args.models), args.models[-1])
    if args.ours not in args.models:
        parser.error(f"--ours {args.ours} is none of the models that run: {'; '.join(args.models)}")
    return args


def main() -> int:
    args = arguments()
    start = time.perf_counter()
    cache = Cache(args.cache)
    specs = {name: MODELS[name] for name in args.models}
    try:
        by_sigma = sigma_specs(sigma_rules(args.sigma)) if args.sigma else {}
        protocol = protocol_of(args, cache)
        telemetry, missing = recorded(args.data, QUICK_TELEMETRY if args.quick else None)
    except CmdclfError as error:
        print(error, file=sys.stderr)
        return 2
    if not (args.data / "verdicts_dev.parquet").is_file():
        missing.append("there is no verdicts_dev.parquet: every row counts as confirmed, and none is left out")
    if not args.sigma:
        missing.append("there are no rows for Sigma's rules: --sigma gives them")
    specs |= by_sigma
    lines = respelt(protocol, 12 if args.quick else 150)
    extras = {t.name: Extra(t.corpus, np.full(len(t.corpus), -1)) for t in telemetry}
    extras[RESPELT] = Extra(lines.corpus, protocol.fold[lines.row], robust=True)
    scored = score_all(protocol, specs, extras, cache)
    draws = 30 if args.quick else 200
    found = {name: judged(specs[name].about, s, protocol, telemetry, lines, draws) for name, s in scored.items()}
    for name in by_sigma:
        found[name]["levels"] = operating_points(protocol, scored[name], scored[args.ours], telemetry, draws)

    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    notes = notes_of(protocol.pool, protocol, missing, found) + verdict_on(args.ours, found)
    made = tables(found, args.ours) + [levels_table(found[name]["levels"], name, args.ours) for name in by_sigma]
    for table in made:
        print(printed(*table))
    print("\n" + "\n".join(notes) + f"\n{machine}, {time.perf_counter() - start:.0f} s")
    if args.markdown:
        text = "".join(markdown(*table) for table in made) + "\n" + "\n".join(f"- {note}" for note in notes) + "\n"
        Path(args.markdown).write_text(text, encoding="utf-8")
    if args.json:
        memory = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        result = {"name": "classifiers", "machine": machine, "rows": house_rows(found, args.ours), "memory_mb": memory,
                  "notes": notes, "detail": found}  # fmt: skip
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
