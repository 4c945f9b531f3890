"""The same Arrow functions on an existing Spark cluster: reads the same lake, gives the same rows."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmdclf.spark.day import SparkDay
    from cmdclf.spark.faults import SparkJobError
    from cmdclf.spark.lake import lake_days
    from cmdclf.spark.package import build_package
    from cmdclf.spark.session import missing, spark_session

__all__ = ["SparkDay", "SparkJobError", "build_package", "lake_days", "missing", "spark_session"]

_HOME = {
    "SparkDay": "cmdclf.spark.day",
    "SparkJobError": "cmdclf.spark.faults",
    "build_package": "cmdclf.spark.package",
    "lake_days": "cmdclf.spark.lake",
    "missing": "cmdclf.spark.session",
    "spark_session": "cmdclf.spark.session",
}


def __getattr__(name: str) -> Any:
    """Names are looked up at use: executors import this room, and need none of the driver's half."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
