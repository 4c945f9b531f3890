"""The table that every selector chooses from."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["CANDIDATES", "check_candidates"]

#: One row per distinct command line that may be labelled; lines that are labelled already are not candidates.
#:
#: - detectors: the detectors among whose top scores it was on some day; empty for a line that is no anomaly.
#: - scale: full, reduced or both; null for a line that is no anomaly.
#: - anomaly: its best score over days and detectors as a share of rank, 1 = the day's most anomalous line, towards 0 =
#:   the last of the top; comparable between detectors. Null for a line that is no anomaly.
#: - group: command_id of the representative of its near-duplicate group; null where no groups were made.
#: - representative: whether it stands for its group (true where no groups were made).
#: - events: process events with this line; length: characters; classifier_score: the current classifier's
#:   probability of malicious, null where there is no classifier yet.
CANDIDATES = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("platform", pa.string(), nullable=False),
        pa.field("command_line", pa.string(), nullable=False),
        pa.field("detectors", pa.list_(pa.string()), nullable=False),
        pa.field("scale", pa.string()),
        pa.field("anomaly", pa.float64()),
        pa.field("group", pa.string()),
        pa.field("representative", pa.bool_(), nullable=False),
        pa.field("events", pa.int64(), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
        pa.field("classifier_score", pa.float64()),
    ]
)


def check_candidates(candidates: pa.Table, budget: int) -> pa.Table:
    """The candidates in the schema's order of columns, sorted by command_id, so that no selector sees their order.

    Raises:
        ValueError: a column is missing, a command_id occurs twice, or the budget is negative.
    """
    if budget < 0:
        raise ValueError(f"the budget is {budget}: it can't be negative")
    missing = [name for name in CANDIDATES.names if name not in candidates.column_names]
    if missing:
        raise ValueError(f"the candidates lack the columns {', '.join(missing)}")
    table = candidates.select(CANDIDATES.names).cast(CANDIDATES).sort_by("command_id")
    ids = table.column("command_id")
    if table.num_rows != pc.count_distinct(ids).as_py():
        raise ValueError("a command_id occurs twice among the candidates")
    return table


def anomalous_representatives(table: pa.Table) -> pa.Table:
    """The rows that are anomalies and stand for their group."""
    return table.filter(pc.and_(pc.is_valid(table.column("anomaly")), table.column("representative")))
