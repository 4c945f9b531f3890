"""What a study's inputs or answers lack, as sentences: nothing of it stops a run, all of it weakens what a run says."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.study.config import StudyConfig
from cmdclf.study.known import template_ids
from cmdclf.study.labelled import read_labelled
from cmdclf.study.workplace import Workplace

__all__ = [
    "few_candidates", "known_answers", "missing_days", "named", "near_duplicates_of", "of_results", "shared_sources",
    "tell", "unanswered",
]  # fmt: skip

#: Names that a sentence lists; of more it gives the number.
_NAMED = 5


def tell(warnings: Sequence[str]) -> None:
    """Write warnings to standard error, a line each."""
    for text in warnings:
        sys.stderr.write(f"warning: {_printable(text)}\n")


def named(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(_printable(n) for n in names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _printable(text: str) -> str:
    """Names come from files, and terminals obey control characters; what is no text at all can't be written down."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def missing_days(w: Workplace) -> list[str]:
    """Days between the study's first and last that the lake lacks."""
    have = set(w.train_days + w.test_days)
    first, last = min(have), max(have)
    gaps = [d for n in range((last - first).days) if (d := first + timedelta(n)) not in have]
    if not gaps:
        return []
    return [
        f"data.lake lacks {len(gaps):,} days between {first} and {last}: {named([d.isoformat() for d in gaps])}. "
        "data.train_days and data.test_days count the days that are there; ingest the missing ones, or read the curves "
        "by day with this gap in mind"
    ]


def shared_sources(config: StudyConfig) -> list[str]:
    """Sources that incident tests share with the labelled lines that the aggregated baseline learns from.

    Where both files say which `family` a line belongs to (lexicons: what was held out as a whole), families count.
    """
    if "ab" not in config.baselines:
        return []
    out = []
    labelled = [read_labelled(file) for file in config.model.labelled]
    for file in config.data.incident:
        test = read_labelled(file)
        shared = sorted({name for table in labelled for name in _shared(test, table)})
        if shared:
            out.append(
                f"the test in data.incident ({file.name}) shares {len(shared):,} sources with model.labelled: "
                f"{named(shared)}. Lines of one source look alike, so that the test says too little about new ones; "
                "leave these sources out of one of the two"
            )
    return out


#: The share of a test's groups from which on it is taken to be made from the bundled lexicon.
_MADE_OF_LEXICON = 0.1


def known_answers(config: StudyConfig) -> list[str]:
    """Incident tests that are made from the bundled lexicon, whose labels the mined arm would know."""
    if "mined" not in config.arms or not config.model.lexicon_lines:
        return []
    ids = template_ids()
    out = []
    for file in config.data.incident:
        test = read_labelled(file)
        if "group_id" not in test.column_names:
            continue
        groups = set(pc.unique(test["group_id"].cast(pa.string())).to_pylist())
        if groups and len(groups & ids) >= _MADE_OF_LEXICON * len(groups):
            out.append(
                f"the test in data.incident ({file.name}) is made from the bundled lexicon, whose labels the arm mined "
                "knows beforehand; set model.lexicon_lines = 0"
            )
    return out


def _shared(test: pa.Table, table: pa.Table) -> set[str]:
    for column in ("family", "source"):
        if column in test.column_names and column in table.column_names:
            mine, theirs = (set(pc.unique(t[column].cast(pa.string())).to_pylist()) for t in (test, table))
            return (mine & theirs) - {None, ""}
    return set()


def near_duplicates_of(setting: str, name: str, rows: int, removed: Mapping[str, int]) -> list[str]:
    """A test of which more than half is near-duplicates of training lines."""
    gone = sum(removed.values())
    if 2 * gone <= rows:
        return []
    return [
        f"{gone:,} of the {rows:,} lines of the test '{_printable(name)}' were removed as near-duplicates of training "
        f"lines. What is left may be no fair share of it; {setting} should hold incidents that no training line comes "
        "from"
    ]


def few_candidates(setting: str, asked: Mapping[str, tuple[int, int]]) -> list[str]:
    """Arms that found fewer lines to ask about than they may.

    Args:
        setting: that holds the budget.
        asked: arm -> (lines asked about, lines that it may ask about).
    """
    short = [f"{name} {n:,} of {budget:,}" for name, (n, budget) in asked.items() if n < budget]
    if not short:
        return []
    return [
        f"{setting} exceeds the candidates, so that arms asked about fewer lines than others: {named(short)}. Compare "
        "these arms with care, lower the budget, or give more days"
    ]


def unanswered(judge: str, asked: int, pending: int, remedy: str) -> list[str]:
    """A judge that leaves half of the lines, or more, without a verdict.

    Args:
        judge: the setting that names it, and what it says.
        asked, pending: lines.
        remedy: what to do.
    """
    if not asked or 2 * pending < asked:
        return []
    return [
        f"{judge} left {pending:,} of {asked:,} lines unanswered: they add nothing, and arms are compared on fewer "
        f"labels than their budget allows. {remedy}"
    ]


def of_results(w: Workplace, results: Mapping[str, Any], pending: Path) -> list[str]:
    """What a study's results give cause for.

    Args:
        w: the study.
        results: with `arms` and `labels`.
        pending: the file that the lines without a verdict were written to.
    """
    tests: dict[str, tuple[int, dict[str, int]]] = {}
    for arm in results["arms"]:
        for name, test in arm["tests"].items():
            if name != "time_split":
                tests[name] = (test["rows"], test["removed"])
    out = [text for name, test in tests.items() for text in near_duplicates_of("data.incident", name, *test)]
    budget = w.config.labels.budget
    out += few_candidates(
        f"labels.budget = {budget:,}",
        {a["name"]: (a["asked"], budget) for a in results["arms"] if a["arm"] != "base"},
    )
    labels, s = results["labels"], w.config.labels
    judge = f"the judge (labels.judge = '{s.judge}'"
    judge += f", labels.recorded = '{_printable(s.recorded.name)}')" if s.judge == "recorded" and s.recorded else ")"
    return out + unanswered(
        judge, labels["asked"], labels["pending"],
        f"They lie in {pending.name}: write them for a provider with 'cmdclf label export-batch --lines "
        f"{pending.name}', take the answers in with 'cmdclf label import-batch', and name what 'cmdclf label export' "
        "writes as labels.recorded",
    )  # fmt: skip
