"""The whole store: its tables' methods on one open file."""

from __future__ import annotations

from cmdclf.store.anomalies import AnomalyTables
from cmdclf.store.ledger import Ledger
from cmdclf.store.lines import LineTables
from cmdclf.store.marks import ReviewMarks
from cmdclf.store.stages import Stages

__all__ = ["Store"]


class Store(LineTables, AnomalyTables, Ledger, ReviewMarks, Stages):
    """One DuckDB file with all state of a study, opened with `Store.open(path)` and closed by `with` or `close`.

    Every method that writes is a transaction of its own, or joins the one that `stage` or `transaction` has begun.

    >>> with Store.open(":memory:") as store:
    ...     with store.stage("load", settings="1") as stage:
    ...         first = stage.done
    ...     with store.stage("load", settings="1") as stage:
    ...         again = stage.done
    >>> first, again
    (False, True)
    """
