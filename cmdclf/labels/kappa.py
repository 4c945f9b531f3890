"""Do judges agree: Cohen's kappa of every two that judged the same lines."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.labels.verdict import PERSON

__all__ = ["JudgePair", "cohen_kappa", "judge_names", "judge_pairs", "own_words"]


def cohen_kappa(first: pa.Array, second: pa.Array) -> float:
    """Agreement of two judges beyond chance on the same n lines: 1 = always, 0 = as by chance; NaN where undefined.

    J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20(1), 1960.
    """
    n = len(first)
    if n == 0 or n != len(second):
        return math.nan
    observed = (pc.sum(pc.equal(first, second)).as_py() or 0) / n
    values = pc.unique(pa.concat_arrays([first, second])).to_pylist()
    shares = [[(pc.sum(pc.equal(side, v)).as_py() or 0) / n for v in values] for side in (first, second)]
    chance = sum(a * b for a, b in zip(*shares, strict=True))
    return math.nan if chance >= 1 else (observed - chance) / (1 - chance)


@dataclass(frozen=True, slots=True)
class JudgePair:
    """Two judges on the lines that both judged.

    Attributes:
        first, second: who they are: name, model, reviewer, and where one judge worked by several prompts, which.
        lines: how many both judged.
        agreed: on how many of them they said the same.
        kappa: beyond chance, see `cohen_kappa`; NaN where each said one and the same of all lines.
        opposite: lines that one called benign and the other malicious.
    """

    first: str
    second: str
    lines: int
    agreed: int
    kappa: float
    opposite: int

    def record(self) -> dict[str, Any]:
        """As JSON values; kappa is null where it is undefined."""
        return {
            "first": self.first, "second": self.second, "lines": self.lines, "agreed": self.agreed,
            "kappa": None if math.isnan(self.kappa) else self.kappa, "opposite": self.opposite,
        }  # fmt: skip


def own_words(rows: pa.Table) -> pa.ChunkedArray:
    """What each judge itself said: `benign` where a veto made `unsure` of it."""
    return pc.if_else(pc.is_valid(rows["vetoed_by"]), "benign", rows["verdict"])


def judge_names(rows: pa.Table) -> list[str]:
    """Who wrote each of these VERDICTS, in words."""
    columns = [pc.fill_null(rows[c], "").to_pylist() for c in ("judge", "model", "reviewer", "prompt_sha256")]
    keys = list(zip(*columns, strict=True))
    prompts: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for *who, prompt in keys:
        prompts[who[0], who[1], who[2]].add(prompt)
    names = {}
    for judge, model, reviewer, prompt in set(keys):
        name = " ".join(part for part in (judge, model, reviewer) if part)
        several = len(prompts[judge, model, reviewer]) > 1
        names[judge, model, reviewer, prompt] = f"{name} (prompt {prompt[:8] or 'unknown'})" if several else name
    return [names[key] for key in keys]


def judge_pairs(rows: pa.Table, *, people: bool = True) -> list[JudgePair]:
    """Every two judges with lines in common, those with the most first; they are compared by their own words.

    Args:
        rows: each judge's latest row on each line, as `Store.verdicts_by_judge` gives them.
        people: False leaves persons out.
    """
    if not people:
        rows = rows.filter(pc.not_equal(rows["judge"], PERSON))
    said: defaultdict[str, dict[str, str]] = defaultdict(dict)
    texts = zip(judge_names(rows), rows["command_id"].to_pylist(), own_words(rows).to_pylist(), strict=True)
    for name, command_id, word in texts:
        said[name][command_id] = word
    pairs = []
    for first, second in combinations(sorted(said), 2):
        common = sorted(said[first].keys() & said[second].keys())
        if not common:
            continue
        counts = Counter((said[first][i], said[second][i]) for i in common)
        a, b = (pa.array([said[name][i] for i in common], pa.string()) for name in (first, second))
        opposite = counts["benign", "malicious"] + counts["malicious", "benign"]
        agreed = sum(n for (x, y), n in counts.items() if x == y)
        pairs.append(JudgePair(first, second, len(common), agreed, cohen_kappa(a, b), opposite))
    return sorted(pairs, key=lambda p: (-p.lines, p.first, p.second))
