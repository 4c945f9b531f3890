"""The arms of a proof: what each asks about, with which baseline, budget and judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa

from cmdclf.detect import SCALES
from cmdclf.proof.month import Month
from cmdclf.proof.settings import ProofSettings
from cmdclf.select import (
    CoverageSelector,
    HalvesSelector,
    MinedSelector,
    PublishedSelector,
    RandomSelector,
    Selector,
    get_selector,
)
from cmdclf.study.config import Baseline

__all__ = ["ARMS", "MAIN", "MINING", "Arm", "Way", "plan_of"]


@dataclass(frozen=True)
class Way:
    """A way to choose lines.

    Attributes:
        about: what it asks about, as a table's cell says it.
        selector: makes the selector, for a month.
        pool: the candidates: `published` (representatives of the anomalies), `everything` (every distinct line with its
            group), `representatives` (one line of each group), `anomalies` (every anomaly for itself), or the name of a
            detector on another feature set.
        scored: it needs the current classifier's scores.
        rounds: it asks in rounds, retraining in between.
        malicious: malicious answers are added as well.
        weight: of added lines, as a multiple of the setting.
    """

    about: str
    selector: Callable[[Month], Selector]
    pool: str = "everything"
    scored: bool = False
    rounds: bool = False
    malicious: bool = False
    weight: float = 1.0


def _named(name: str) -> Callable[[Month], Selector]:
    return lambda month: get_selector(name)


def _mined(among: str = "all", share: float = 1.0) -> Callable[[Month], Selector]:
    return lambda month: MinedSelector(share, among=among)


def _published(*detectors: str) -> Callable[[Month], Selector]:
    return lambda month: PublishedSelector(detectors or None)


_ROUNDS = Way("highest scores in rounds with retraining", _mined(), scored=True, rounds=True)
_MIXED = Way(
    "half highest scores in rounds, half random distinct lines",
    lambda month: HalvesSelector(MinedSelector(1.0, among="all"), RandomSelector()),
    scored=True,
    rounds=True,
)

#: Name -> way, in the order of the tables. `base` asks about nothing; `all benign` knows the whole truth.
ARMS: dict[str, Way | None] = {
    "base": None,
    "full": Way("published, full scale: isolation forest on features", _published(*SCALES["full"]), "published"),
    "reduced": Way("published, reduced scale: k-means, PCA on embeddings", _published(*SCALES["reduced"]), "published"),
    "combined": Way("published, both scales", _published(), "published"),
    "random events": Way("random events", _named("events")),
    "random": Way("random distinct lines", _named("random")),
    "random, deduplicated": Way("random, one of each group", _named("random"), "representatives"),
    "matched": Way("random, as long as those of `combined`", _named("matched")),
    "longest": Way("longest lines", _named("longest")),
    "frequent": Way("most frequent lines", _named("frequent")),
    "uncertain": Way("scores nearest one half", _named("uncertain"), scored=True),
    "uncertain + anomalous": Way("half uncertain, half `combined`", _named("halves"), scored=True),
    "coverage": Way("k-center on embeddings", lambda month: CoverageSelector(month.w.embed), "representatives"),
    "combined, not deduplicated": Way("as `combined`, each anomaly for itself", _published(), "anomalies"),
    "combined, both labels": Way("as `combined`, malicious ones added too", _published(), "published", malicious=True),
    "mined": Way("highest scores", _mined(), scored=True),
    "mined, anomalies": Way("highest scores among anomalies", _mined("anomalies"), "published", scored=True),
    "mined, top anomalies": Way(
        "highest scores among the top fifth of the anomalies", _mined("anomalies", 0.2), "published", scored=True
    ),
    "mined + anomalous": Way(
        "half highest scores, half `combined`",
        lambda month: HalvesSelector(MinedSelector(1.0, among="all"), PublishedSelector()),
        scored=True,
    ),
    "mined + random": Way(
        "half highest scores, half random distinct lines",
        lambda month: HalvesSelector(MinedSelector(1.0, among="all"), RandomSelector()),
        scored=True,
    ),
    "mined in rounds": _ROUNDS,
    "mined in rounds, anomalies": Way(
        "highest scores among anomalies in rounds", _mined("anomalies"), "published", scored=True, rounds=True
    ),
    "mined in rounds, both labels": replace(
        _ROUNDS, about="highest scores in rounds, malicious ones added too", malicious=True
    ),
    "mined + random in rounds": _MIXED,
    "mined + random in rounds, both labels": replace(
        _MIXED, about="half highest scores in rounds, half random; malicious ones added too", malicious=True
    ),
    "random, both labels": Way("random distinct lines, malicious ones added too", _named("random"), malicious=True),
    "random, weight 3": Way("random distinct lines, counted three times", _named("random"), weight=3.0),
    "combined, weight 3": Way("as `combined`, counted three times", _published(), "published", weight=3.0),
    "mined in rounds, weight 3": replace(_ROUNDS, about="highest scores in rounds, counted three times", weight=3.0),
    "all benign": None,
}
#: Each detector alone, and on the other feature set: arm -> (feature set, detector), candidates of a day's sample.
DETECTORS: dict[str, tuple[str, str]] = {
    "forest, sample": ("features", "isolation_forest"),
    "k-means on features": ("features", "kmeans_distance"),
    "PCA on features": ("features", "pca_reconstruction"),
    "forest on embeddings": ("embeddings", "isolation_forest"),
    "k-means": ("embeddings", "kmeans_distance"),
    "PCA": ("embeddings", "pca_reconstruction"),
}
ARMS |= {
    name: Way(f"{detector.replace('_', ' ')} on {what} of a sample", _published(detector), f"{what} of samples")
    for name, (what, detector) in DETECTORS.items()
}
#: The arms of the published table and their control, which every variation repeats.
MAIN = ("base", "full", "reduced", "combined", "random")
MINING = ("mined", "mined in rounds", "mined + random in rounds")


@dataclass(frozen=True)
class Arm:
    """One arm to be built.

    Attributes:
        baseline, way: `ab` or `rb`, and a name of `ARMS`.
        budget: lines it may ask about; 0 where it asks about none.
        judge: `noise 0.01`, `hostile 0.02`, `recorded` or `truth where recorded`.
        days: only the first so many training days' anomalies; 0: all.
        tokens: the budget is what `random` costs in tokens, not lines.
    """

    baseline: Baseline
    way: str
    budget: int
    judge: str
    days: int = 0
    tokens: bool = False

    @property
    def name(self) -> str:
        """Unique in a rotation."""
        extra = [f"{self.days} days"] * bool(self.days) + ["tokens"] * self.tokens
        return " | ".join([self.baseline, self.way, str(self.budget), self.judge, *extra])


def plan_of(s: ProofSettings, *, main_only: bool = False) -> list[Arm]:
    """Every arm of a rotation, each once, in the order in which they are fitted.

    Args:
        s: the settings.
        main_only: the published arms, their control and mining, at the main budget: for variations of the month.
    """
    usual = f"noise {s.noise:g}"
    arms: dict[str, Arm] = {}

    def add(baseline: Baseline, way: str, budget: int, judge: str = usual, days: int = 0, tokens: bool = False) -> None:
        arm = Arm(baseline, way, 0 if ARMS[way] is None else budget, judge, days, tokens)
        arms.setdefault(arm.name, arm)

    ways = (*MAIN, *MINING) if main_only else tuple(ARMS)
    for way in ways:
        add("ab", way, s.budget)
    for way in (*MAIN, *MINING) if main_only else tuple(w for w in ARMS if w not in DETECTORS):
        add("rb", way, s.budget)
    if main_only:
        return list(arms.values())
    for budget in s.budgets:
        for way in ("full", "combined", "random", "uncertain", *MINING):
            add("ab", way, budget)
    for way in ("full", "combined", "longest", *MINING):
        add("ab", way, s.budget, tokens=True)
    for noise in s.noises:
        for way in ("random", "combined", *MINING):
            add("ab", way, s.budget, f"noise {noise:g}")
    for share in (x for x in (s.noise, *s.noises) if x > 0):
        for way in ("random", "combined", *MINING):
            add("ab", way, s.budget, f"hostile {share:g}")
    if s.verdicts is not None:
        for judge in ("recorded", "truth where recorded"):
            for way in ("random", "combined", *MINING):
                add("ab", way, s.budget, judge)
    for days in _some_days(s.train_days):
        add("ab", "combined", s.budget, days=days)
    return list(arms.values())


def _some_days(n: int) -> list[int]:
    return [d for d in (1, 2, 4, 7, 14, 21) if d < n]


def up_to(candidates: pa.Table, lines: pa.Table) -> pa.Table:
    """The candidates among these lines."""
    import pyarrow.compute as pc

    return candidates.filter(pc.is_in(candidates["command_id"], value_set=lines["command_id"].combine_chunks()))
