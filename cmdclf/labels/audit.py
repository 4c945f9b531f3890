"""How far verdicts can be trusted: against the truth or a second look, with exact bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.labels.verdict import LABELS

__all__ = ["Agreement", "agreement", "exact_interval", "lower_bound", "sample_size"]


def exact_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The two-sided Clopper-Pearson interval of a proportion, (0, 1) for no trial.

    C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
    Biometrika 26(4), 1934: the proportions that a binomial test at this level does not reject.

    Raises:
        ValueError: counts or confidence are impossible.
    """
    if not 0 <= successes <= trials or not 0 < confidence < 1:
        raise ValueError(f"{successes} of {trials} at confidence {confidence} is impossible")
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.ppf(1 - tail, successes + 1, trials - successes))
    return low, high


def lower_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """The one-sided Clopper-Pearson lower bound of a proportion: with this confidence it is at least so large.

    It is 0.995 for 598 of 598; the lower end of the two-sided interval at the same confidence lies deeper.

    Raises:
        ValueError: counts or confidence are impossible.
    """
    if not 0 <= successes <= trials or not 0 < confidence < 1:
        raise ValueError(f"{successes} of {trials} at confidence {confidence} is impossible")
    from scipy.stats import beta

    return 0.0 if successes == 0 else float(beta.ppf(1 - confidence, successes, trials - successes + 1))


def sample_size(bound: float, confidence: float = 0.95, errors: int = 0) -> int:
    """How many audited verdicts, all but `errors` found right, show with this confidence that at least `bound` are.

    Without errors the smallest n with bound^n <= 1 - confidence (one-sided): 598 for 0.995 at 0.95. With errors the
    smallest n at which a binomial draw of at most so many errors is as unlikely.

    Raises:
        ValueError: a number is not between 0 and 1, or the errors are negative.
    """
    if not 0 < bound < 1 or not 0 < confidence < 1 or errors < 0:
        raise ValueError("bound and confidence lie between 0 and 1, and errors are not negative")
    clean = math.ceil(math.log(1 - confidence) / math.log(bound))
    if not errors:
        return clean
    from scipy.stats import binom

    low, high = clean, clean * 2 + errors
    while binom.cdf(errors, high, 1 - bound) > 1 - confidence:
        low, high = high, high * 2
    while low < high:  # the chance falls with n
        middle = (low + high) // 2
        low, high = (middle + 1, high) if binom.cdf(errors, middle, 1 - bound) > 1 - confidence else (low, middle)
    return high


@dataclass(frozen=True, slots=True)
class Agreement:
    """Verdicts beside what is true.

    Attributes:
        confusion: (truth, verdict) -> lines; truth is benign or malicious.
        lines: how many were compared.
        benign_right, benign_said: benign verdicts, and how many of them are true.
        precision: their share, NaN for none, with its exact 95 % interval.
        interval: see precision.
    """

    confusion: dict[tuple[str, str], int]
    lines: int
    benign_right: int
    benign_said: int
    precision: float
    interval: tuple[float, float]

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "confusion": {f"{truth}/{verdict}": n for (truth, verdict), n in self.confusion.items()},
            "lines": self.lines, "benign_right": self.benign_right, "benign_said": self.benign_said,
            "precision": self.precision, "interval": list(self.interval),
        }  # fmt: skip


def agreement(verdicts: pa.Table, truth: pa.Table) -> Agreement:
    """Compare verdicts (`command_id`, `verdict`) with the truth (`command_id`, `label` benign or malicious).

    Lines that only one of the tables knows, and labels that are neither, are not compared.
    """
    known = truth.filter(pc.is_in(truth["label"], value_set=pa.array(["benign", "malicious"])))
    where = pc.index_in(verdicts["command_id"], value_set=known["command_id"].combine_chunks())
    said = verdicts["verdict"].filter(pc.is_valid(where)).to_pylist()
    true = known["label"].take(where.drop_null()).to_pylist()
    confusion: dict[tuple[str, str], int] = {(t, v): 0 for t in ("benign", "malicious") for v in LABELS}
    for t, v in zip(true, said, strict=True):
        confusion[t, v] += 1
    right = confusion["benign", "benign"]
    total = right + confusion["malicious", "benign"]
    return Agreement(
        confusion, len(said), right, total, right / total if total else math.nan, exact_interval(right, total)
    )
