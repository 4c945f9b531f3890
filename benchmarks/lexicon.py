"""What the lexicon is worth: a model that has seen only its lines, judged on lines that it was not written from.

    python benchmarks/lexicon.py [--pools FILE...] [--verdicts FILE] [--dir DIR] [--peel] [--project]
                                 [--errors N] [--quick] [--json FILE]

Pools are labelled Parquet files (command_line, platform, label; source, group_id, hard, dual_use where known). Lines of
label unknown and malicious lines of dual use are left out, and the shell wrapper of every line is drawn anew from one
pool for both labels. The model is logistic regression on hashed character 2- to 5-grams (TF-IDF, lower case). Arms:

  lexicon            trained on renderings of the templates, tested on the pools
  pools              five folds, each trained on the pools' other sources: no source is in training and test
  lexicon and pools  the same folds, with the renderings added

Without --pools only the lexicon is there: whole roles are left out instead. `agree` are the rows whose label the
recorded verdicts (platform, process_command_line, verdict) do not contradict; benign rows without a verdict stay in.
Intervals resample whole groups (one script or page). Lines are never stored; --errors shows some on the terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from _labelled_lines import FOLDS, Lines, fold_of, from_lexicon, from_pools, thinned
from scipy import sparse

from cmdclf.classify.gram_counts import CountedGrams, counted
from cmdclf.classify.metrics import auc, evaluate
from cmdclf.lexicon import Lexicon
from cmdclf.lexicon.wrappers import peel

KINDS = ("bytes",)
FRACTIONS = (0.1, 0.25, 0.5, 1.0)
DRAWS = 3
LEXICON, POOLS, BOTH = "lexicon", "pools", "lexicon and pools"


class ProjectModel:
    """The project's own features, embedding and classifier, on texts instead of a matrix."""

    def __init__(self, lines: Lines) -> None:
        from cmdclf.classify.featurise import Featuriser
        from cmdclf.classify.model import Classifier
        from cmdclf.features import FeatureMaker, load_embedder

        table = self._table(lines)
        self._featuriser = Featuriser(FeatureMaker().fit(table.to_batches()), load_embedder())
        self._classifier = Classifier(folds=3, random_state=0)
        self._classifier.fit(self._featuriser.matrix_of(table), lines.malicious.astype(np.int8), groups=lines.group)

    @staticmethod
    def _table(lines: Lines):
        import pyarrow as pa

        return pa.table({"command_line": pa.array(lines.text), "platform": pa.array(lines.platform, pa.string())})

    def scores(self, lines: Lines) -> np.ndarray:
        return self._classifier.predict_proba(self._featuriser.matrix_of(self._table(lines)))[:, 1]


def peeled(text: str) -> str:
    """The text in the innermost of at most three shells."""
    for _ in range(3):
        inner = peel(text)
        if inner is None:
            break
        text = inner[1]
    return text


def measured(lines: Lines, scores: np.ndarray, n_bootstrap: int) -> dict[str, dict]:
    """`evaluate` of all rows and of those that agree, each against all and against hard benign rows."""
    out = {}
    for name, rows in (("all", np.ones(len(scores), bool)), ("agree", lines.agree)):
        for against, more in (("", rows), (" hard", rows & (lines.hard | lines.malicious))):
            if not (lines.malicious[more].any() and (~lines.malicious[more]).any()):
                continue
            out[name + against] = evaluate(
                lines.malicious[more], scores[more], sources=lines.source[more], platforms=lines.platform[more],
                groups=lines.group[more], fprs=(0.01,), n_bootstrap=n_bootstrap, roc=False,
            )  # fmt: skip
    return out


def tool_of(text: str) -> str:
    """The program that a line runs, in small letters without path and extension."""
    first = re.match(r"""\s*(?:sudo\s+|&\s*)*(?:"([^"]+)"|'([^']+)'|(\S+))""", peeled(text))
    name = next((g for g in first.groups() if g), "") if first else ""
    return re.sub(r"\.(exe|com|cmd|bat)$", "", re.split(r"[\\/]", name.lower())[-1])[:32]


def show_gaps(lines: Lines, scores: np.ndarray, result: dict, errors: int) -> None:
    """Sources and tools where the lexicon's knowledge ends; lines only where asked for."""
    slices = result["by_source"]
    found = sorted((v["detection_rate"], k, v) for k, v in slices.items() if v["n_malicious"] >= 20)
    false = sorted((-v["false_alert_rate"], k, v) for k, v in slices.items() if v["n_benign"] >= 50)
    print("\nweakest sources, at the threshold where 1 % of all benign lines alert")
    for rate, name, v in found[:8]:
        print(f"  malicious {name:<48}{v['n_malicious']:>7} lines, found {rate:7.1%}, AUC {v['auc']:.3f}")
    for rate, name, v in false[:8]:
        print(f"  benign    {name:<48}{v['n_benign']:>7} lines, alert {-rate:7.1%}, AUC {v['auc']:.3f}")
    rank = scores.argsort().argsort() / len(scores)
    tools = np.array([tool_of(t) for t in lines.text], object)
    for label, title, sign in ((True, "malicious tools ranked lowest", 1), (False, "benign tools ranked highest", -1)):
        mine = lines.malicious == label
        names, at, count = np.unique(tools[mine].astype(str), return_inverse=True, return_counts=True)
        mean = np.bincount(at, rank[mine]) / count
        order = [i for i in np.argsort(sign * mean) if count[i] >= 15][:15]
        print(f"{title}: " + ", ".join(f"{names[i]} {mean[i]:.2f} ({count[i]})" for i in order))
        for i in np.flatnonzero(mine)[np.argsort(sign * scores[mine])][:errors]:
            print(f"  {scores[i]:7.2f} {lines.source[i]}: {ascii(lines.text[i])[:200]}")


def curve(lex: Lines, x: sparse.csr_matrix, test: Lines, x_test: sparse.csr_matrix, seed: int) -> list[dict]:
    """AUC of the lexicon's model over the share of templates that it has seen."""
    out = []
    ids = np.unique(lex.group.astype(str))
    for fraction in FRACTIONS:
        aucs = []
        for draw in range(DRAWS if fraction < 1 else 1):
            kept = np.random.default_rng([seed, draw]).permutation(ids)[: round(fraction * len(ids))]
            rows = np.flatnonzero(np.isin(lex.group.astype(str), kept))
            scores = CountedGrams(KINDS).fit(x[rows], lex.malicious[rows]).scores(x_test)
            hard = test.hard | test.malicious
            aucs.append((auc(test.malicious, scores), auc(test.malicious[hard], scores[hard])))
        mean, spread = np.mean(aucs, axis=0), np.ptp(aucs, axis=0)
        row = {
            "templates": round(fraction * len(ids)),
            "draws": len(aucs),
            "auc": round(mean[0], 4),
            "hard_auc": round(mean[1], 4),
        }
        out.append(row | {"auc_range": round(spread[0], 4)})
    return out


def arms_of(lex: Lines, pools: Lines | None, args: argparse.Namespace) -> tuple[dict[str, np.ndarray], list[dict]]:
    """Scores of every arm on the test lines, and the curve."""
    test = lex if pools is None else pools
    x_lex = counted(lex.text, layers=False, kinds=KINDS)
    x_test = x_lex if pools is None else counted(test.text, layers=False, kinds=KINDS)
    held_out = {LEXICON if pools is None else POOLS: None} | ({} if pools is None else {BOTH: (x_lex, lex.malicious)})
    scores = {name: np.zeros(len(test.text)) for name in held_out}
    fold = fold_of(test.source, test.malicious, test.group, np.random.default_rng(args.seed))
    for rows in (fold == k for k in range(FOLDS)):
        for name, more in held_out.items():
            x, y = x_test[~rows], test.malicious[~rows]
            if more is not None:
                x, y = sparse.vstack([x, more[0]], format="csr"), np.concatenate([y, more[1]])
            scores[name][rows] = CountedGrams(KINDS).fit(x, y).scores(x_test[rows])
    if pools is None:
        return scores, []
    scores = {LEXICON: CountedGrams(KINDS).fit(x_lex, lex.malicious).scores(x_test)} | scores
    if args.project:
        scores["lexicon, project's classifier"] = ProjectModel(lex).scores(test)
    rows = np.flatnonzero(test.agree)
    return scores, curve(lex, x_lex, test.take(rows), x_test[rows], args.seed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pools", nargs="+", default=[], metavar="FILE", help="labelled Parquet files to test on")
    parser.add_argument("--verdicts", metavar="FILE", help="recorded verdicts on the pools' lines")
    parser.add_argument("--dir", metavar="DIR", help="folder of the lexicon (default: the bundled one)")
    parser.add_argument("--renderings", type=int, default=4, metavar="K", help="lines per template (default 4)")
    parser.add_argument("--peel", action="store_true", help="take the shell wrappers off both sides")
    parser.add_argument("--project", action="store_true", help="also the project's own classifier on the lexicon")
    parser.add_argument("--errors", type=int, default=0, metavar="N", help="show N lines of either kind of error")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="ends within 50 seconds on 2 cores: fewer lines")
    parser.add_argument("--json", metavar="FILE", help="write the result there")
    args = parser.parse_args()
    start = time.perf_counter()
    lexicon = Lexicon.load(args.dir)
    lex = from_lexicon(lexicon, 1 if args.quick else args.renderings, args.seed)
    pools = from_pools(args.pools, args.verdicts, args.seed) if args.pools else None
    if args.quick and pools is not None:
        pools = thinned(pools, 3_000, args.seed)
    if args.peel:
        lex = replace(lex, text=[peeled(t) for t in lex.text])
        pools = pools and replace(pools, text=[peeled(t) for t in pools.text])
    test = lex if pools is None else pools
    scores, points = arms_of(lex, pools, args)
    results = {name: measured(test, s, 50 if args.quick else 300) for name, s in scores.items()}

    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    print(f"{len(lexicon)} templates, {len(lex.text)} renderings; {machine}")
    n, bad, sources = len(test.text), int(test.malicious.sum()), len(set(test.source))
    print(f"tested on {n:,} lines of {sources} sources, {bad:,} of them malicious")
    print(f"\n{'rows':<11}{'trained on':<31}{'AUC':>7}{'95 % interval':>17}{'TPR at FPR 1 %':>16}   AUC by platform")
    for rows in ("all", "all hard", "agree", "agree hard"):
        for name, result in results.items():
            if rows not in result or (rows.startswith("agree") and not args.verdicts):
                continue
            r = result[rows]
            where = ", ".join(f"{p} {v['auc']:.3f}" for p, v in r["by_platform"].items() if v["auc"] is not None)
            low, high = r["auc_ci95"]
            print(f"{rows:<11}{name:<31}{r['auc']:>7.3f}{f'{low:.3f}-{high:.3f}':>17}"
                  f"{r['tpr_at_fpr']['0.01']:>16.3f}   {where}")  # fmt: skip
    if points:
        print("\nlexicon alone over its size (rows that agree): "
              + ", ".join(f"{p['templates']}: {p['auc']:.3f} (hard {p['hard_auc']:.3f})" for p in points))  # fmt: skip
    show_gaps(test, scores[LEXICON], results[LEXICON]["all"], args.errors)
    print(f"\n{time.perf_counter() - start:.0f} s")
    if args.json:
        Path(args.json).write_text(json.dumps(_json(results, points, machine), indent=1) + "\n", encoding="utf-8")
    return 0


def _json(results: dict[str, dict], points: list[dict], machine: str) -> dict:
    peer = results.get(POOLS)
    rows = []
    for name, result in results.items():
        for case, r in result.items() if name != POOLS else ():
            for unit, value, other in (
                ("AUC", r["auc"], peer and peer[case]["auc"]),
                ("TPR at FPR 0.01", r["tpr_at_fpr"]["0.01"], peer and peer[case]["tpr_at_fpr"]["0.01"]),
            ):
                rows.append({"case": f"{name}, {case} rows", "ours": value, "peer": other,
                             "peer_name": "pools, whole sources left out", "ratio": other and round(value / other, 3),
                             "unit": unit, "n": r["n_benign"] + r["n_malicious"]})  # fmt: skip
    memory = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return {"name": "lexicon", "machine": machine, "rows": rows, "memory_mb": memory, "curve": points, "arms": results}


if __name__ == "__main__":
    sys.exit(main())
