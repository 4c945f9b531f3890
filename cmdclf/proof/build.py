"""An arm's training set: what it chooses, how it is answered, and what that adds to its baseline."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from cmdclf.classify import add_benign, add_malicious, without_hits
from cmdclf.classify.gram_counts import CountedGrams
from cmdclf.classify.training import RULE_HITS, with_known
from cmdclf.errors import StudyError
from cmdclf.proof.arms import ARMS, Arm, Way
from cmdclf.proof.judges import HostileJudge, NoisyJudge, ProofJudge, RecordedVerdicts
from cmdclf.proof.month import Month
from cmdclf.proof.samples import sample_anomalies
from cmdclf.select import RandomSelector
from cmdclf.study.candidates import stored_anomalies, with_scores
from cmdclf.study.config import Baseline
from cmdclf.study.sieve import stored_groups

__all__ = ["Builder", "Built"]

#: Characters per token of a usual language model's tokeniser on command lines, for budgets in tokens.
CHARACTERS_PER_TOKEN = 3.0
Scored = npt.NDArray[np.float64]


@dataclass
class Built:
    """An arm, ready to be fitted.

    Attributes:
        arm: which one.
        training: TRAINING rows.
        chosen: command_ids, best first.
        verdicts: how they were answered.
        wrong: malicious lines that were added as benign.
    """

    arm: Arm
    training: pa.Table
    chosen: list[str] = field(default_factory=list)
    verdicts: dict[str, int] = field(default_factory=dict)
    wrong: int = 0


@dataclass
class Builder:
    """Builds the arms of one month."""

    month: Month
    _of_bases: dict[tuple[Baseline, bool], Scored] = field(default_factory=dict)
    _built: dict[Arm, Built] = field(default_factory=dict)
    _pools: dict[tuple[str, Baseline, int, bool], pa.Table] = field(default_factory=dict)

    def fit(self, training: pa.Table) -> CountedGrams:
        """The n-gram model on TRAINING rows."""
        rows = self.month.rows(training["command_id"])
        y, weight = training["label"].to_numpy(), training["weight"].to_numpy()
        return CountedGrams().fit(self.month.counts[rows], y, weight)

    def scored(self, training: pa.Table) -> Scored:
        """(n,) log-odds of all of the month's lines by the n-gram model on TRAINING rows."""
        return np.asarray(self.fit(training).scores(self.month.counts, self.month.squares))

    def base(self, baseline: Baseline, *, lexicon: bool = False) -> pa.Table:
        """TRAINING rows of the baseline, perhaps with the bundled lexicon's."""
        base = self.month.bases[baseline]
        return with_known(base, self.month.known) if lexicon else base

    def of_base(self, baseline: Baseline, *, lexicon: bool = False) -> Scored:
        """`scored` of the baseline itself."""
        key = baseline, lexicon
        if key not in self._of_bases:
            self._of_bases[key] = self.scored(self.base(baseline, lexicon=lexicon))
        return self._of_bases[key]

    def build(self, arm: Arm) -> Built:
        """Choose, have judged, add; an arm that is built already is not built again.

        Raises:
            StudyError: there are fewer candidates than the budget asks for.
        """
        if arm not in self._built:
            self._built[arm] = self._build(arm)
        return self._built[arm]

    def _build(self, arm: Arm) -> Built:
        base = self.base(arm.baseline)
        if arm.way in ("base", "lexicon", "lexicon alone"):
            alone = {"base": base, "lexicon alone": self.month.known}
            return Built(arm, alone[arm.way] if arm.way in alone else self.base(arm.baseline, lexicon=True))
        if arm.way == "all benign":
            pool = self.pool("everything", arm.baseline)
            benign = pool.filter(pa.array([not self.month.malicious[i] for i in pool["command_id"].to_pylist()]))
            return self._added(arm, base, benign["command_id"].to_pylist(), NoisyJudge(self.month, 0.0))
        way = ARMS[arm.way]
        assert way is not None
        judge = self.judge_of(arm)
        pool = self.pool("everything", arm.baseline)
        budget = min(self._lines(arm, way), pool.num_rows) if arm.tokens else arm.budget
        if pool.num_rows < budget:
            raise StudyError(
                f"{pool.num_rows:,} distinct lines are fewer than the budget of {budget:,}",
                remedy="Lower the budget, or give more days or larger pools",
            )
        chosen = self._audit(arm, way)
        base = self.base(arm.baseline, lexicon=way.lexicon)
        start = self._start(base, chosen, judge)
        built = self._added(arm, start, chosen, judge)
        audited = len(chosen)
        steps = self.month.settings.rounds if way.rounds else 1
        free = self.pool(way.pool, arm.baseline, arm.days, hits=start is not base)
        for number in range(steps):
            share = audited + (budget - audited) * (number + 1) // steps - len(chosen)
            left = free.filter(pc.invert(pc.is_in(free["command_id"], value_set=pa.array(chosen, pa.string()))))
            if way.scored:
                scores = self.scored(built.training) if chosen else self.of_base(arm.baseline, lexicon=way.lexicon)
                left = with_scores(left, expit(scores[self.month.rows(left["command_id"])]))
            selector = way.selector(self.month)
            chosen += selector.select(left, share, seed=self.month.settings.seed).to_pylist()
            if arm.tokens:
                chosen = self._within_tokens(arm, chosen)
            built = self._added(arm, start, chosen, judge)
        return built

    def _audit(self, arm: Arm, way: Way) -> list[str]:
        """Random hits of the rules, one of each group, for the audit's share of the budget in lines."""
        base = self.month.bases[arm.baseline]
        hits = base.filter(pc.equal(base["source"], RULE_HITS))["command_id"].combine_chunks()
        table = one_of_each_group(self.month.everything.filter(pc.is_in(self.month.everything["command_id"], hits)))
        drawn: list[str] = RandomSelector().select(table, round(arm.budget * way.audit), seed=1).to_pylist()
        return self._within_tokens(arm, drawn) if arm.tokens else drawn

    def _start(self, base: pa.Table, audited: list[str], judge: ProofJudge) -> pa.Table:
        """The baseline, without the rules' hits where the audit finds most of them benign and knows other attacks."""
        answers = Counter(judge.judge(audited))
        return without_hits(base) if answers["benign"] > answers["malicious"] else base

    def _added(self, arm: Arm, start: pa.Table, chosen: list[str], judge: ProofJudge) -> Built:
        way = ARMS[arm.way]
        weight = self.month.settings.weight * (way.weight if way else 1.0)
        answers = judge.judge(chosen)
        lines = self.month.lines.take(pa.array(self.month.rows(chosen)))
        said = np.array(answers, object)
        benign = lines.filter(pa.array(said == "benign"))
        training, _ = add_benign(start, benign, source=f"judged:{arm.way}", weight=weight)
        if way is not None and way.malicious:
            training = add_malicious(
                training, lines.filter(pa.array(said == "malicious")), source="judged:malicious", weight=weight
            )
        wrong = sum(self.month.malicious[i] for i in benign["command_id"].to_pylist())
        return Built(arm, training, chosen, dict(Counter(answers)), wrong)

    def pool(self, name: str, baseline: Baseline, days: int = 0, *, hits: bool = False) -> pa.Table:
        """CANDIDATES of that name, without lines that the baseline trains on: they have a label, right or wrong.

        Args:
            name: see `Way.pool`.
            baseline: whose labels count.
            days: anomalies of the first so many days alone; 0: all.
            hits: the rules' hits are candidates too: their labels don't count.
        """
        key = (name, baseline, days, hits)
        if key not in self._pools:
            table = self._named(name, days)
            base = self.month.bases[baseline]
            base = base.filter(pc.not_equal(base["source"], RULE_HITS)) if hits else base
            settled = base["command_id"].combine_chunks()
            self._pools[key] = table.filter(pc.invert(pc.is_in(table["command_id"], value_set=settled)))
        return self._pools[key]

    def _named(self, name: str, days: int) -> pa.Table:
        month = self.month
        if name == "everything":
            return month.everything
        if name == "representatives":
            return month.everything.filter(month.everything["representative"])
        if name == "anomalies":
            return month.undeduplicated
        if name != "published":
            return one_of_each_group(month.candidates_of(sample_anomalies(month, name.split(" ")[0]), {}))
        if not days:
            return month.published
        early = stored_anomalies(month.w).filter(pc.less(self._day_number, days))
        # The study's own groups: those of all distinct lines may have other heads.
        groups = stored_groups(month.w)
        mine = groups.filter(pc.is_in(groups["command_id"], pc.unique(early["command_id"])))
        return month.published.filter(pc.is_in(month.published["command_id"], pc.unique(mine["representative_id"])))

    @cached_property
    def _day_number(self) -> pa.Array:
        days = stored_anomalies(self.month.w)["day"].to_pylist()
        place = {day: n for n, day in enumerate(self.month.w.train_days)}
        return pa.array([place[day] for day in days], pa.int64())

    def judge_of(self, arm: Arm) -> ProofJudge:
        """Who answers for this arm."""
        kind, _, share = arm.judge.partition(" ")
        if kind == "noise":
            return NoisyJudge(self.month, float(share))
        if kind == "hostile":
            return HostileJudge(self.month, float(share), arm.budget)
        return RecordedVerdicts(self.month, truth=kind == "truth")

    def _lines(self, arm: Arm, way: Way) -> int:
        """Lines that may be asked in a budget of tokens: as many as short lines would give."""
        return arm.budget * (4 if way.rounds else 20)

    def _within_tokens(self, arm: Arm, chosen: list[str]) -> list[str]:
        spent = np.cumsum(self.tokens(chosen))
        return chosen[: int(np.searchsorted(spent, self.token_budget(arm), side="right"))]

    def token_budget(self, arm: Arm) -> float:
        """What the arm `random` costs for this budget in lines."""
        ids = self._random_ids(arm.baseline, arm.budget)
        return float(self.tokens(ids).sum())

    def _random_ids(self, baseline: Baseline, budget: int) -> list[str]:
        way = ARMS["random"]
        assert way is not None
        pool = self.pool(way.pool, baseline)
        chosen: list[str] = way.selector(self.month).select(pool, budget, seed=self.month.settings.seed).to_pylist()
        return chosen

    def tokens(self, ids: list[str]) -> npt.NDArray[np.float64]:
        """(n,) tokens that each line costs, without the prompt around it."""
        lines = self.month.lines["command_line"].take(pa.array(self.month.rows(ids)))
        return np.asarray(np.ceil(pc.utf8_length(lines).to_numpy() / CHARACTERS_PER_TOKEN))


def one_of_each_group(candidates: pa.Table) -> pa.Table:
    """The first row of each group."""
    numbered = candidates.append_column("_n", pa.array(np.arange(candidates.num_rows)))
    first = numbered.group_by("group", use_threads=False).aggregate([("_n", "min")])["_n_min"]
    return candidates.take(pa.array(np.sort(first.to_numpy())))
