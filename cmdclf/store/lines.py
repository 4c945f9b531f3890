"""Distinct command lines and the days on which they were seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.errors import StoreError
from cmdclf.store.batches import LineBatches
from cmdclf.store.database import Database, _translated
from cmdclf.store.parts import literal
from cmdclf.store.schema import LINES, LINES_WITH_COUNTS

__all__ = ["DRAW", "DayCount", "LineTables", "sample_salt"]

# SHA-256 over platform, NUL, line, its first 16 bytes in hex: the same as telemetry.command_ids (tested).
_ARRIVAL = """
create or replace temp table arrival as
select sha256(platform || chr(0) || command_line)[1:32] as command_id, platform, command_line,
       min(parent_command_line) as parent_command_line,
       sum(coalesce(count, 1))::bigint as events, count(distinct host) as hosts,
       min(event_time)::timestamptz as first_event, max(event_time)::timestamptz as last_event
from read_parquet($files, hive_partitioning = false, union_by_name = true)
group by platform, command_line
"""

_MERGE = """
merge into command_line as known using arrival as fresh on known.command_id = fresh.command_id
when matched and fresh.parent_command_line < coalesce(known.parent_command_line, fresh.parent_command_line || 'x')
    then update set parent_command_line = fresh.parent_command_line
when not matched then insert (command_id, platform, command_line, parent_command_line)
    values (fresh.command_id, fresh.platform, fresh.command_line, fresh.parent_command_line)
"""

_LINES_OF_DAYS = """
select command_id, platform, command_line, parent_command_line, events, hosts, days, first_seen, last_seen
from command_line join (
    select command_id, sum(events)::bigint as events, max(hosts) as hosts, count(*) as days,
           min(first_event) as first_seen, max(last_event) as last_seen
    from sighting where ($days is null or list_contains($days::date[], day))
    group by command_id having sum(events) >= $min_events
) using (command_id)
order by command_id
"""

#: The hash by which lines are drawn; `$salt` is `sample_salt`.
DRAW = "md5_number_lower($salt || command_id)"

_SAMPLE = f"""
select command_id, platform, command_line, parent_command_line, events
from command_line join (
    select command_id, events, {DRAW} as draw
    from sighting where day = $day order by draw, command_id limit $n
) using (command_id)
order by draw, command_id
"""  # noqa: S608


def sample_salt(day: date, seed: int) -> str:
    """What a command_id is salted with for the draw of `Store.sample`."""
    return f"{day.isoformat()}|{seed}|"


@dataclass(frozen=True, slots=True)
class DayCount:
    """What one day holds: events, distinct command lines, and those of them that no earlier day in the store has."""

    day: date
    events: int
    distinct: int
    new: int


class LineTables(Database):
    """The tables `command_line` and `sighting`."""

    def add_day(self, day: date, files: Sequence[Path]) -> DayCount:
        """The day's counts, after its lake files have replaced whatever the store held of that day.

        One transaction: the same files twice give the same store, a killed process leaves the day as it was.
        Lines that the day no longer has stay known (verdicts may hang on them) but have no sighting there.

        Args:
            day: the lake's partition; the files' own event times are not looked at.
            files: Parquet files of process events; none at all empties the day.

        Raises:
            StoreError: a file is missing, is not Parquet, or lacks the columns of a process event.
        """
        for file in files:
            if not Path(file).is_file():
                raise StoreError("the lake's file is missing", remedy="Ingest the day again", file=file)
        with self.transaction():
            self._lines_changed = True
            self._run("delete from sighting where day = $day", {"day": day})
            if not files:
                return DayCount(day, 0, 0, 0)
            self._read_arrivals(files)
            self._run(_MERGE)
            self._run(
                "insert into sighting select $day, command_id, events, hosts, first_event, last_event"
                " from arrival order by command_id",
                {"day": day},
            )
            events = self._value("select coalesce(sum(events), 0)::bigint from arrival")
            distinct = self._value("select count(*) from arrival")
            new = self._value(
                "select count(*) from arrival anti join (select command_id from sighting where day < $day)"
                " using (command_id)",
                {"day": day},
            )
            self._run("drop table arrival")
        return DayCount(day, int(events), int(distinct), int(new))

    def _read_arrivals(self, files: Sequence[Path]) -> None:
        try:
            self._run(_ARRIVAL, {"files": [literal(Path(file)) for file in files]})
        except duckdb.BinderException as error:
            raise StoreError(
                f"the files are not process events ({str(error).splitlines()[0]})",
                remedy="Give files of a lake that 'cmdclf ingest' or 'cmdclf replay' wrote",
                file=files[0],
            ) from error
        except StoreError as error:
            damaged = next((file for file in files if not _readable(file)), None)
            if damaged is None:
                raise
            raise StoreError(
                "a file of the lake is damaged", remedy="Remove it and ingest its source again", file=damaged
            ) from error

    def days(self) -> list[date]:
        """The days that have events, in order."""
        with _translated(self.path):
            return [day for (day,) in self._main.execute("select distinct day from sighting order by day").fetchall()]

    def lines(
        self, days: Sequence[date] | None = None, *, min_events: int = 1, batch_rows: int = 65_536
    ) -> LineBatches:
        """Batches of LINES_WITH_COUNTS: each distinct line of the days once, ordered by command_id.

        The result may be read several times; each time it shows what is committed by then (inside a transaction that
        added a day, also that day, then all rows are held in memory).

        Args:
            days: which days count; None means all.
            min_events: only lines with at least so many events on these days.
            batch_rows: the most rows per batch.
        """
        parameters = {"days": None if days is None else list(days), "min_events": min_events}

        def read() -> Iterator[pa.RecordBatch]:
            if self._lines_changed:
                yield from self._table(_LINES_OF_DAYS, LINES_WITH_COUNTS, parameters).to_batches(batch_rows)
                return
            # A connection of its own: the main one would end this result at its next query.
            with _translated(self.path), self._main.cursor() as reader:
                for batch in reader.sql(_LINES_OF_DAYS, params=parameters).to_arrow_reader(batch_rows):
                    yield batch.cast(LINES_WITH_COUNTS)

        return LineBatches(read, LINES_WITH_COUNTS)

    def lines_by_id(self, ids: pa.Array | pa.ChunkedArray | Sequence[str]) -> pa.Table:
        """LINES of these command_ids, one row per id given and in their order.

        Raises:
            StoreError: an id is not in the store.
        """
        array = pa.array(ids, pa.string()) if not isinstance(ids, pa.Array | pa.ChunkedArray) else ids
        given = pa.table({"command_id": array, "place": pa.array(range(len(array)), pa.int64())})
        with self._given(given):
            table = self._table(
                "select command_id, platform, command_line, parent_command_line"
                " from given join command_line using (command_id) order by place",
                LINES,
            )
        if table.num_rows != len(array):
            known = set(table.column("command_id").to_pylist())
            unknown = [i for i in array.to_pylist() if i not in known]
            raise StoreError(
                f"{len(unknown)} command_ids are not in the store, the first is {unknown[0]!r}",
                remedy="Add the days that hold these lines first",
            )
        return table

    def known_lines(self, ids: pa.Array | pa.ChunkedArray) -> pa.Table:
        """LINES of those of the ids that the store holds, each once, ordered by command_id."""
        with self._given(pa.table({"command_id": ids})):
            return self._table(
                "select command_id, platform, command_line, parent_command_line from command_line"
                " where command_id in (select command_id from given) order by command_id",
                LINES,
            )

    def sample(self, day: date, n: int, seed: int = 0) -> pa.Table:
        """LINES and `events` of the day's n distinct lines with the smallest salted hash, in the order of that hash.

        The hash is DuckDB's `md5_number_lower` (bytes 8 to 15 of the MD5, little-endian) of "day|seed|command_id",
        so the draw depends on nothing but day, seed and the lines: every machine takes the same lines, a smaller sample
        is the beginning of a larger one, and a line taken stays taken when the day grows until n lines with smaller
        hashes have come. This is bottom-k sampling: each set of n distinct lines is equally likely, whatever their
        frequency. (Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007.)
        """
        parameters = {"salt": sample_salt(day, seed), "day": day, "n": n}
        schema = pa.schema([*LINES, pa.field("events", pa.int64(), nullable=False)])
        return self._table(_SAMPLE, schema, parameters)


def _readable(file: Path) -> bool:
    """Whether all of a Parquet file can be read; asked when DuckDB could not, which names the file only sometimes."""
    try:
        with pq.ParquetFile(file) as parquet:
            for _ in parquet.iter_batches():
                pass
    except (pa.ArrowException, OSError):
        return False
    return True
