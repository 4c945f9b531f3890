"""How often the promotion gate refuses a model that is as good as the one that stands, and one that is worse.

    python benchmarks/promotion.py [--runs 40]

Made-up tests, no model: a line's score is normal noise, shifted by 2 where it is malicious (AUC 0.92), and both models
share a part of the noise. Three platforms (55, 35, 10 %), a fifth of the benign lines hard, two lines to a group. A
worse candidate's shift is smaller. 200 resamples; about 5 minutes on one core.
"""

from __future__ import annotations

import argparse

import numpy as np

from cmdclf.classify import GateTest, Margins, Scored, compare

#: benign, malicious, correlation of the models' noise, how much less the candidate's shift is.
CASES = (
    (1500, 300, 0.9, 0.05), (1500, 300, 0.9, 0.1), (6000, 1500, 0.9, 0.05), (6000, 1500, 0.9, 0.1),
    (1500, 300, 0.9, 0.0), (1500, 300, 0.99, 0.0), (6000, 1500, 0.9, 0.0), (6000, 1500, 0.99, 0.0),
)  # fmt: skip


def made(benign: int, malicious: int, shared: float, loss: float, seed: int) -> tuple[GateTest, list[Scored]]:
    """A test and the scores of the model that stands and of the candidate."""
    rng, n = np.random.default_rng(seed), benign + malicious
    labels = np.r_[np.zeros(benign, np.int8), np.ones(malicious, np.int8)]
    platforms = np.array(["windows", "linux", "macos"], object)[rng.choice(3, n, p=[0.55, 0.35, 0.1])]
    hard = (rng.random(n) < 0.2) & (labels == 0)
    test = GateTest("incident", labels, rng.integers(0, n // 2, n), platforms, hard)
    both = rng.normal(size=n)
    models = []
    for shift in (2.0, 2.0 - loss):
        raw = np.sqrt(shared) * both + np.sqrt(1 - shared) * rng.normal(size=n) + shift * labels
        models.append(Scored(1 / (1 + np.exp(-raw)), 0.9))
    return test, models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--cases", type=int, default=len(CASES), help="only the first so many")
    args = parser.parse_args()
    print("| benign | malicious | shared noise | mean AUC difference | refused | with slices' margins as narrow |")
    print("|---|---|---|---|---|---|")
    for benign, malicious, shared, loss in CASES[: args.cases]:
        refused, narrow, difference = 0, 0, 0.0
        for seed in range(args.runs):
            test, (current, candidate) = made(benign, malicious, shared, loss, seed)
            found = compare(test, current, candidate, n=200, seed=seed)
            refused += any(c.verdict == "worse" for c in found)
            difference += found[0].difference or 0.0
            usual = Margins()
            tight = {"AUC": usual.auc, "TPR at FPR 0.01": usual.tpr}
            narrow += any(
                c.verdict == "worse" or (c.ci95 is not None and (c.difference or 0.0) < -tight[c.measure])
                for c in found
            )
        shares = f"{refused / args.runs:.0%} | {narrow / args.runs:.0%}"
        print(f"| {benign:,} | {malicious:,} | {shared} | {difference / args.runs:+.4f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
