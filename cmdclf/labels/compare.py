"""Prompts side by side on lines whose labels are known: what each gets right, what it costs, how far they agree."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.errors import JudgeError
from cmdclf.labels.audit import agreement, exact_interval
from cmdclf.labels.judge import Judge
from cmdclf.labels.kappa import cohen_kappa
from cmdclf.labels.labeller import judge_verdicts, label_lines
from cmdclf.labels.openai_judge import OpenAIJudge
from cmdclf.labels.tables import with_command_id
from cmdclf.store import Store

__all__ = ["Comparison", "Difference", "PromptResult", "compare_judges", "labelled_sample", "mcnemar_exact"]


@dataclass(frozen=True, slots=True)
class PromptResult:
    """One prompt on the labelled lines; verdicts as they were given, before any veto.

    Args:
        name: the prompt.
        prompt_sha256: its identity in the ledger.
        answered: lines with a verdict.
        confusion: (label, verdict) -> lines.
        benign_precision: share of the benign verdicts that are right, with its exact 95 % interval; NaN for none.
        malicious_recall: share of the malicious lines that are called so, likewise.
        unsure: share of the answered lines.
        cost_usd, prompt_tokens, completion_tokens: what the verdicts cost when they were asked for.
    """

    name: str
    prompt_sha256: str
    answered: int
    confusion: dict[tuple[str, str], int]
    benign_precision: tuple[float, float, float]
    malicious_recall: tuple[float, float, float]
    unsure: float
    cost_usd: float
    prompt_tokens: int
    completion_tokens: int

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name, "prompt_sha256": self.prompt_sha256, "answered": self.answered,
            "confusion": {f"{label}/{verdict}": n for (label, verdict), n in self.confusion.items()},
            "benign_precision": [_json(x) for x in self.benign_precision],
            "malicious_recall": [_json(x) for x in self.malicious_recall],
            "unsure": _json(self.unsure), "cost_usd": self.cost_usd, "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """Two prompts on the lines that both have answered.

    Args:
        first, second: their names.
        lines: how many those are.
        only_first, only_second: lines that one alone gets right; `unsure` is not right.
        p: McNemar's exact test: how likely so uneven a split is if both are equally good.
        kappa: agreement of their verdicts beyond chance.
    """

    first: str
    second: str
    lines: int
    only_first: int
    only_second: int
    p: float
    kappa: float

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "first": self.first, "second": self.second, "lines": self.lines, "only_first": self.only_first,
            "only_second": self.only_second, "p": self.p, "kappa": _json(self.kappa),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """All prompts, all pairs of them, and why the asking ended early, or empty."""

    prompts: tuple[PromptResult, ...]
    differences: tuple[Difference, ...]
    stopped: str = ""

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "prompts": [found.record() for found in self.prompts],
            "differences": [found.record() for found in self.differences],
            "stopped": self.stopped,
        }


def _json(value: float) -> float | None:
    return None if value != value else value


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """The two-sided p-value that lines which just one of two judges gets right fall so unevenly by chance.

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12(2), 1947; exact by the binomial distribution at one half.
    """
    from scipy.stats import binomtest

    both = only_first + only_second
    return float(binomtest(only_first, both, 0.5).pvalue) if both else 1.0


def labelled_sample(truth: pa.Table, size: int | None, seed: int) -> pa.Table:
    """Distinct lines with the label benign or malicious: command_id, platform, command_line, label, maybe the parent's.

    Which lines are drawn depends on their text and the seed alone: a larger sample holds the smaller one, so what was
    paid for the smaller one counts. Lines that are labelled both ways are left out.

    Args:
        truth: `platform`, `command_line`, `label`, optionally `parent_command_line`.
        size: how many; None takes all.
        seed: another seed draws others.

    Raises:
        JudgeError: a column is missing, or no line is left.
    """
    for name in ("platform", "command_line", "label"):
        if name not in truth.column_names:
            raise JudgeError(
                f"the column '{name}' is missing from the truth", remedy=f"It has: {', '.join(truth.column_names)}"
            )
    if size is not None and size < 1:
        raise JudgeError(f"a sample of {size} lines is none")
    wanted = ["platform", "command_line", "label", "parent_command_line"]
    table = truth.select([name for name in wanted if name in truth.column_names])
    table = table.filter(pc.is_in(table["label"], value_set=pa.array(["benign", "malicious"])))
    table = with_command_id(table, "command_line")
    numbered = pa.table(
        {"id": table["command_id"], "label": table["label"], "row": pa.array(range(table.num_rows), pa.int64())}
    )
    groups = numbered.group_by("id", use_threads=False).aggregate([("row", "min"), ("label", "min"), ("label", "max")])
    groups = groups.filter(pc.equal(groups["label_min"], groups["label_max"]))
    drawn = sorted(
        (hashlib.sha256(f"{seed}|{command_id}".encode()).digest(), row)
        for command_id, row in zip(groups["id"].to_pylist(), groups["row_min"].to_pylist(), strict=True)
    )
    if not drawn:
        raise JudgeError("the truth has no line that is labelled benign or malicious, one way")
    return table.take(pa.array([row for _, row in drawn[:size]], pa.int64())).combine_chunks()


def compare_judges(store: Store, judges: Mapping[str, Judge], lines: pa.Table, *, progress: bool = False) -> Comparison:
    """Put the lines to each judge, one after the other, and set their verdicts beside the labels.

    What one `OpenAIJudge` has spent counts towards the next one's ceiling.

    Args:
        store: keeps the verdicts, so that the same comparison later asks for nothing again. Not a study's: verdicts on
            lines with known labels don't belong among those that teach.
        judges: name -> judge, as a rule the same model under different prompts.
        lines: as `labelled_sample` gives them.
        progress: report on stderr.

    Raises:
        JudgeError: a judge can't answer at all. What was answered before is in the store.
    """
    asked = lines.drop_columns("label")
    stopped = ""
    said: dict[str, pa.Table] = {}
    results = []
    spent_usd = 0.0
    for name, judge in judges.items():
        if isinstance(judge, OpenAIJudge):
            judge.spent_usd = spent_usd
        stopped = stopped or label_lines(store, judge, asked, progress=progress).stopped
        if isinstance(judge, OpenAIJudge):
            spent_usd = judge.spent_usd
        rows = judge_verdicts(store, judge, lines["command_id"].combine_chunks())
        # A veto only ever turns benign into unsure; here the judge is measured, not the guard.
        given = pc.if_else(pc.is_valid(rows["vetoed_by"]), "benign", rows["verdict"])
        said[name] = pa.table({"command_id": rows["command_id"], "verdict": given})
        results.append(_result(name, str(judge.prompt_sha256), rows, said[name], lines))
    pairs = [_difference(a, b, said[a], said[b], lines) for a, b in combinations(said, 2)]
    return Comparison(tuple(results), tuple(pairs), stopped)


def _result(name: str, sha: str, rows: pa.Table, said: pa.Table, lines: pa.Table) -> PromptResult:
    found = agreement(said, lines)
    malicious = [found.confusion["malicious", verdict] for verdict in ("malicious", "benign", "unsure")]
    unsure = found.confusion["benign", "unsure"] + found.confusion["malicious", "unsure"]
    return PromptResult(
        name,
        sha,
        found.lines,
        found.confusion,
        (found.precision, *found.interval),
        (
            malicious[0] / sum(malicious) if sum(malicious) else float("nan"),
            *exact_interval(malicious[0], sum(malicious)),
        ),
        unsure / found.lines if found.lines else float("nan"),
        float(pc.sum(rows["cost_usd"]).as_py() or 0.0),
        int(pc.sum(rows["prompt_tokens"]).as_py() or 0),
        int(pc.sum(rows["completion_tokens"]).as_py() or 0),
    )


def _difference(first: str, second: str, a: pa.Table, b: pa.Table, lines: pa.Table) -> Difference:
    both = a.join(b, "command_id", join_type="inner", right_suffix=" b", use_threads=False)
    both = both.join(lines.select(["command_id", "label"]), "command_id", join_type="inner", use_threads=False)
    right = [pc.equal(both[name], both["label"]) for name in ("verdict", "verdict b")]
    only_a = pc.sum(pc.and_(right[0], pc.invert(right[1]))).as_py() or 0
    only_b = pc.sum(pc.and_(right[1], pc.invert(right[0]))).as_py() or 0
    kappa = cohen_kappa(both["verdict"].combine_chunks(), both["verdict b"].combine_chunks())
    return Difference(first, second, both.num_rows, only_a, only_b, mcnemar_exact(only_a, only_b), kappa)
