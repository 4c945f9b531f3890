"""Selectors by name: a new one is a new file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cmdclf.errors import StudyError
from cmdclf.select.controls import EventsSelector, FrequentSelector, LongestSelector, MatchedSelector
from cmdclf.select.coverage import CoverageSelector
from cmdclf.select.mined import MinedSelector
from cmdclf.select.published import PublishedSelector
from cmdclf.select.random_lines import RandomSelector
from cmdclf.select.selector import Selector
from cmdclf.select.uncertain import HalvesSelector, UncertainSelector

__all__ = ["SELECTORS", "get_selector"]

SELECTORS: dict[str, Callable[..., Selector]] = {
    "published": PublishedSelector,
    "random": RandomSelector,
    "mined": MinedSelector,
    "events": EventsSelector,
    "frequent": FrequentSelector,
    "longest": LongestSelector,
    "matched": MatchedSelector,
    "coverage": CoverageSelector,
    "uncertain": UncertainSelector,
    "halves": HalvesSelector,
}


def get_selector(name: str, **options: Any) -> Selector:
    """The selector of that name, made with these options.

    Raises:
        StudyError: there is none of that name, or it does not know an option.
    """
    if name not in SELECTORS:
        raise StudyError(f"there is no selector '{name}'", remedy=f"Choose one of: {', '.join(SELECTORS)}")
    try:
        return SELECTORS[name](**options)
    except (TypeError, ValueError) as error:
        raise StudyError(f"the options of selector '{name}' are wrong: {error}") from error
