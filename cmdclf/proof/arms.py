"""The arms of a proof: what each asks about, with which baseline, budget and judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from cmdclf.detect import SCALES
from cmdclf.proof.month import BASELINES, Month
from cmdclf.proof.settings import ProofSettings
from cmdclf.select import (
    CoverageSelector,
    HalvesSelector,
    MinedSelector,
    PublishedSelector,
    Selector,
    get_selector,
)
from cmdclf.study.config import Baseline

__all__ = [
    "ARMS", "DETECTORS", "KNOWING", "MAIN", "MINING", "OWN", "Arm", "Way", "judged_ways", "plan_of", "shipped_plan",
]  # fmt: skip


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
        audit: the share of the budget that asks about random hits of the rules first, one of each group; where most of
            them are benign, hits that nobody has confirmed leave the training set and may be asked about.
        lexicon: the baseline's training set holds the bundled lexicon's lines as well, with their labels.
    """

    about: str
    selector: Callable[[Month], Selector]
    pool: str = "everything"
    scored: bool = False
    rounds: bool = False
    malicious: bool = False
    weight: float = 1.0
    audit: float = 0.0
    lexicon: bool = False


def _named(name: str) -> Callable[[Month], Selector]:
    return lambda month: get_selector(name)


def _mined(among: str = "all", share: float = 1.0) -> Callable[[Month], Selector]:
    return lambda month: MinedSelector(share, among=among)


def _published(*detectors: str) -> Callable[[Month], Selector]:
    return lambda month: PublishedSelector(detectors or None)


_ROUNDS = Way("highest scores in rounds with retraining", _mined(), "representatives", scored=True, rounds=True)
_AUDITED = replace(
    _ROUNDS, about="a tenth audits the rules' hits, the rest as `mined in rounds`, both labels added", malicious=True,
    audit=0.1,
)  # fmt: skip

#: What `cmdclf run` does in its arm `mined`.
OWN = "mined, audited, lexicon"
#: Name -> way, in the order of the tables. `base` and `lexicon` ask about nothing, and `lexicon alone` hasn't even seen
#: the month; `all benign` knows the whole truth.
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
    "mined": Way("highest scores", _mined(), "representatives", scored=True),
    "mined, anomalies": Way("highest scores among anomalies", _mined("anomalies"), "published", scored=True),
    "mined, top anomalies": Way(
        "highest scores among the top fifth of the anomalies", _mined("anomalies", 0.2), "published", scored=True
    ),
    "mined + anomalous": Way(
        "half highest scores, half `combined`",
        lambda month: HalvesSelector(MinedSelector(1.0, among="all"), PublishedSelector()),
        scored=True,
    ),
    "mined in rounds": _ROUNDS,
    "mined in rounds, anomalies": replace(
        _ROUNDS, about="highest scores among anomalies in rounds", selector=_mined("anomalies"), pool="published"
    ),
    "mined in rounds, both labels": replace(
        _ROUNDS, about="highest scores in rounds, malicious ones added too", malicious=True
    ),
    "random, audited": Way(
        "a tenth audits the rules' hits, the rest random, both labels added",
        _named("random"),
        "representatives",
        malicious=True,
        audit=0.1,
    ),
    "combined, audited": Way(
        "a tenth audits the rules' hits, the rest as `combined`, both labels added",
        _published(),
        "published",
        malicious=True,
        audit=0.1,
    ),
    "uncertain, audited": Way(
        "a tenth audits the rules' hits, the rest as `uncertain`, both labels added",
        _named("uncertain"),
        "representatives",
        scored=True,
        malicious=True,
        audit=0.1,
    ),
    "mined, audited": _AUDITED,
    "mined, audited, anomalies": replace(
        _AUDITED, about="as `mined, audited`, among anomalies alone", selector=_mined("anomalies"), pool="published"
    ),
    "random, weight 3": Way("random distinct lines, counted three times", _named("random"), weight=3.0),
    "combined, weight 3": Way("as `combined`, counted three times", _published(), "published", weight=3.0),
    "mined, audited, weight 3": replace(_AUDITED, about="as `mined, audited`, counted three times", weight=3.0),
    "all benign": None,
    "lexicon alone": None,
    "lexicon": None,
}
#: Ways that start with the bundled lexicon's lines beside the baseline's own: the control of each is the random one.
KNOWING = ("random, audited", "combined, audited", "uncertain, audited", "mined, audited")
ARMS |= {
    f"{name}, lexicon": replace(way, about=f"as `{name}`, the bundled lexicon known from the start", lexicon=True)
    for name, way in ARMS.items()
    if way is not None and name in KNOWING
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
MINING = ("mined in rounds", "random, audited", "mined, audited", OWN)
#: Arms of the regex baseline beside the main ones.
_RB = ("random, deduplicated", "uncertain", "coverage", "longest", "mined", "combined, audited", "all benign",
       "lexicon", *(f"{name}, lexicon" for name in KNOWING))  # fmt: skip


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


def judged_ways(s: ProofSettings) -> list[str]:
    """The ways that are tried with other judges, too."""
    return ["random", "combined", "mined, audited", *([OWN] if s.lexicon_lines else [])]


def plan_of(s: ProofSettings, *, main_only: bool = False, detailed: bool = True) -> list[Arm]:
    """Every arm of a rotation, each once, in the order in which they are fitted.

    Args:
        s: the settings.
        main_only: the published arms, their control and mining, at the main budget: for variations of the month.
        detailed: other budgets, judges and days as well.
    """
    usual = f"noise {s.noise:g}"
    arms: dict[str, Arm] = {}

    def add(baseline: Baseline, ways: Iterable[str], budget: int = s.budget, judge: str = usual, **more: Any) -> None:
        for way in (w for w in ways if s.lexicon_lines or "lexicon" not in w):
            arm = Arm(baseline, way, 0 if ARMS[way] is None else budget, judge, **more)
            arms.setdefault(arm.name, arm)

    compared = judged_ways(s)
    add("ab", (*MAIN, *MINING) if main_only else ARMS)
    add("rb", (*MAIN, *MINING) if main_only else (*MAIN, *MINING, *_RB))
    if main_only or not detailed:
        return list(arms.values())
    for budget in s.budgets:
        add("ab", ("full", "uncertain", "random, audited, lexicon", *compared), budget)
    add("ab", ("full", "longest", "combined", "mined, audited", OWN), tokens=True)
    for noise in s.noises:
        add("ab", compared, judge=f"noise {noise:g}")
    for share in (x for x in (s.noise, *s.noises) if x > 0):
        add("ab", compared, judge=f"hostile {share:g}")
    for judge in ("recorded", "truth where recorded") if s.verdicts else ():
        add("ab", compared, judge=judge)
    for days in (d for d in (1, 2, 4, 7, 14, 21) if d < s.train_days):
        add("ab", ("combined",), days=days)
    return list(arms.values())


def shipped_plan(s: ProofSettings) -> list[Arm]:
    """The arms of a rotation that are fitted as the shipped classifier, too."""
    ways = ("base", "combined", "random", "mined, audited", "random, audited, lexicon", OWN)
    known = [way for way in ways if s.lexicon_lines or "lexicon" not in way]
    return [Arm(b, way, 0 if ARMS[way] is None else s.budget, f"noise {s.noise:g}") for b in BASELINES for way in known]
