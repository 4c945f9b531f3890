"""A study: one reproducible run from lake to evaluated, exported classifier, described by a `study.toml`."""

from __future__ import annotations

from cmdclf.study.config import StudyConfig, load_study
from cmdclf.study.results import load_results
from cmdclf.study.runner import open_workplace, run_study

__all__ = ["StudyConfig", "load_results", "load_study", "open_workplace", "run_study"]
