"""Patterns over text kept as data, matched by one linear-time engine: checks, regex rules, injection phrases."""

from cmdclf.rules.rule import CATEGORIES, Rule
from cmdclf.rules.ruleset import RuleSet

__all__ = ["CATEGORIES", "Rule", "RuleSet"]
