"""Which candidates are worth a label at a given budget."""

from __future__ import annotations

from cmdclf.select.candidates import CANDIDATES, check_candidates
from cmdclf.select.controls import EventsSelector, FrequentSelector, LongestSelector, MatchedSelector, lot
from cmdclf.select.coverage import CoverageSelector
from cmdclf.select.mined import MinedSelector
from cmdclf.select.published import PublishedSelector
from cmdclf.select.random_lines import RandomSelector
from cmdclf.select.registry import SELECTORS, get_selector
from cmdclf.select.selector import Selector
from cmdclf.select.uncertain import HalvesSelector, UncertainSelector

__all__ = [
    "CANDIDATES",
    "SELECTORS",
    "CoverageSelector",
    "EventsSelector",
    "FrequentSelector",
    "HalvesSelector",
    "LongestSelector",
    "MatchedSelector",
    "MinedSelector",
    "PublishedSelector",
    "RandomSelector",
    "Selector",
    "UncertainSelector",
    "check_candidates",
    "get_selector",
    "lot",
]
