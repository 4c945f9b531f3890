"""What is still found when malicious lines of held-out sources are written otherwise, at a threshold that stays.

Ways of `_respelt_windows` and `_respelt_unix` were never used in training, and the decoding was mended by what they
showed, then by `_respelt_second`, which had been measured first; `_respelt_third` came after that. Ways of
`train_rewrites` are what a model may train on. Benign lines are rewritten too: a model that alerts on any obfuscation
finds much and is of no use.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from _classifier_folds import Corpus, Protocol
from _classifier_metrics import PLATFORMS
from _respelt_second import SECOND_UNIX, SECOND_WINDOWS
from _respelt_third import THIRD_UNIX, THIRD_WINDOWS
from _respelt_unix import UNIX
from _respelt_windows import WINDOWS, Way

from cmdclf.classify.metrics import auc
from cmdclf.features.train_rewrites import REWRITES_UNIX, REWRITES_WINDOWS

__all__ = ["Respelt", "drops", "respelt"]

UNSEEN, SECOND, THIRD = "never trained on", "never trained on, second set", "never trained on, third set"
TRAINED = "training's own"


@dataclass
class Respelt:
    """Lines written otherwise; arrays have shape (m,).

    Attributes:
        corpus: the lines as written.
        row: the pool's row that each is of.
        way: the number of its way in `ways`.
        ways: (platform, kind, name): one for each platform that it was tried on.
    """

    corpus: Corpus
    row: np.ndarray
    way: np.ndarray
    ways: list[tuple[str, str, str]]


def _ways(platform: str) -> list[tuple[str, str, Way]]:
    windows = platform == "windows"
    unseen = WINDOWS if windows else UNIX
    second, third = (SECOND_WINDOWS, THIRD_WINDOWS) if windows else (SECOND_UNIX, THIRD_UNIX)
    trained = REWRITES_WINDOWS if windows else REWRITES_UNIX
    own = {way.__name__.strip("_").replace("_", " "): way for way in trained}
    sets = ((UNSEEN, unseen), (SECOND, second), (THIRD, third), (TRAINED, own))
    return [(kind, name, way) for kind, of in sets for name, way in of.items()]


def respelt(protocol: Protocol, per_way: int) -> Respelt:
    """At most so many malicious and half as many benign lines per platform and way, each changed by it.

    Only judged lines whose label a verdict confirms; benign ones among them as they come.
    """
    pool, ways = protocol.pool, []
    text, row, way = [], [], []
    for platform in PLATFORMS:
        rows = np.flatnonzero(protocol.keep & pool.agree & (pool.platform == platform))
        for kind, name, change in _ways(platform):
            rng = random.Random(f"{protocol.seed} {platform} {kind} {name}")
            for label, most in ((True, per_way), (False, per_way // 2)):
                found = 0
                order = rows[pool.malicious[rows] == label].tolist()
                rng.shuffle(order)
                # Rare ways don't look through a hundred thousand benign lines.
                for i in order[: 40 * most]:
                    line = pool.text[i]
                    other = change(line, rng) if len(line) < 2000 else None
                    if other and other != line:
                        text.append(other)
                        row.append(i)
                        way.append(len(ways))
                        found += 1
                        if found == most:
                            break
            ways.append((platform, kind, name))
    at = np.array(row, np.int64)
    return Respelt(Corpus(text, pool.platform[at]), at, np.array(way, np.int64), ways)


def drops(
    lines: Respelt, protocol: Protocol, pool_scores: np.ndarray, scores: np.ndarray, threshold: float, draws: int
) -> dict:
    """TPR before and after each way, in per cent points lost, and what is lost on average over ways.

    Args:
        lines: m lines.
        pool_scores: (n,) of the pool's lines as they are.
        scores: (m,) of the respelt lines, each by the model that didn't see its source.
        threshold: from which a line alerts, the same before and after.
        draws: of the interval, over groups.

    Returns:
        `ways`: a row for each way with n, before, after, drop and, of benign lines, n_benign, alerts_before and
        alerts_after; `mean`: "kind, platform" -> drop [value, lower, upper], `loss` (a gain counting as no loss),
        ways, ways_over_5 (those that lose more than 5 points), n, before, after, benign alerts, and the AUC of the
        malicious lines against the benign ones, before and when both are written otherwise.
    """
    malicious = protocol.pool.malicious[lines.row]
    before, after = pool_scores[lines.row] >= threshold, scores >= threshold
    n_ways = len(lines.ways)

    def per_way(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.bincount(lines.way, values * weights, n_ways) / np.bincount(lines.way, weights, n_ways)

    bad, calm = malicious.astype(float), (~malicious).astype(float)
    n, n_benign = np.bincount(lines.way, bad, n_ways), np.bincount(lines.way, calm, n_ways)
    table = np.stack([per_way(before, bad), per_way(after, bad), per_way(before, calm), per_way(after, calm)])
    rows = [
        {
            "platform": platform, "kind": kind, "way": name, "n": int(n[i]), "before": _rounded(table[0, i]),
            "after": _rounded(table[1, i]), "drop": _rounded(table[0, i] - table[1, i]),
            "n_benign": int(n_benign[i]), "alerts_before": _rounded(table[2, i]), "alerts_after": _rounded(table[3, i]),
        }
        for i, (platform, kind, name) in enumerate(lines.ways)
    ]  # fmt: skip
    names, of = np.unique(protocol.pool.group[lines.row].astype(str), return_inverse=True)
    rng = np.random.default_rng(0)
    change = before.astype(float) - after
    drawn = np.stack([
        per_way(change, bad * np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))[of])
        for _ in range(draws)
    ])  # fmt: skip

    def auc_of(values: np.ndarray, ways: list[int]) -> float | None:
        chosen = np.isin(lines.way, ways)
        return _rounded(auc(malicious[chosen], values[chosen]))

    mean = {}
    for kind in (UNSEEN, SECOND, THIRD, TRAINED):
        for platform in ("all", *PLATFORMS):
            mine = [i for i, (p, k, _) in enumerate(lines.ways) if k == kind and platform in ("all", p) and n[i] >= 5]
            if mine:
                lost = table[0, mine] - table[1, mine]
                point = float(lost.mean())
                low, high = np.nanpercentile(np.nanmean(drawn[:, mine], axis=1), (2.5, 97.5))
                mean[f"{kind}, {platform}"] = {
                    "drop": [_rounded(v) for v in (point, min(low, point), max(high, point))],
                    # What one way gains by alerting on anything odd must not pay for what another loses.
                    "loss": _rounded(np.maximum(lost, 0).mean()), "ways_over_5": int((lost > 0.05).sum()),
                    "ways": len(mine), "n": int(n[mine].sum()), "before": _rounded(table[0, mine].mean()),
                    "after": _rounded(table[1, mine].mean()),
                    "alerts_before": _rounded(np.nanmean(table[2, mine])),
                    "alerts_after": _rounded(np.nanmean(table[3, mine])),
                    "auc_before": auc_of(pool_scores[lines.row], mine), "auc_after": auc_of(scores, mine),
                }  # fmt: skip
    return {"ways": rows, "mean": mean}


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
