"""The open DuckDB file: settings, transactions that nest, and errors in words that a user can act on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from cmdclf.errors import StoreError
from cmdclf.store.migrations import MIGRATIONS, migrate, stored_version

__all__ = ["Clock", "Database"]

Clock = Callable[[], datetime]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """Base of the store's parts: one DuckDB file with a main connection and one for the ledger.

    Not for several threads at once.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path | None, clock: Clock = _utc_now) -> None:
        self.path = path
        self._clock = clock
        self._main = connection
        # The ledger commits on its own connection: a paid answer must survive the rollback of the stage around it.
        self._ledger = connection.cursor()
        self._depth = 0
        self._doomed = False
        self._lines_changed = False

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        read_only: bool = False,
        memory_limit_mb: int | None = None,
        threads: int | None = None,
        temp_dir: str | Path | None = None,
        clock: Clock = _utc_now,
    ) -> Self:
        """The store in a file, made if it is not there, migrated if it is older; ":memory:" keeps it in memory.

        Args:
            path: the DuckDB file. Missing folders above it are made.
            read_only: open for reading; several processes may do so at once.
            memory_limit_mb: what DuckDB may use before it spills to `temp_dir`; its default is 80 % of the memory.
            threads: DuckDB's threads; its default is one per core.
            temp_dir: where it spills to; its default is beside the file.
            clock: gives the time written into stages, models and verdicts without one.

        Raises:
            StoreError: another process has the file open, it is damaged, of another program or of a newer cmdclf.
        """
        in_memory = str(path) == ":memory:"
        file = None if in_memory else Path(path)
        # No extension is ever fetched: everything used here is built in, and the store must work offline.
        config: dict[str, str] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        if memory_limit_mb is not None:
            config["memory_limit"] = f"{memory_limit_mb}MiB"
        if threads is not None:
            config["threads"] = str(threads)
        if temp_dir is not None:
            config["temp_directory"] = str(temp_dir)
        if file is not None and not read_only:
            file.parent.mkdir(parents=True, exist_ok=True)
        if file is not None and read_only and not file.exists():
            raise StoreError("there is no store here", remedy="Check the path, or run the study first", file=file)
        with _translated(file):
            connection = duckdb.connect(str(path), read_only=read_only, config=config)
        try:
            with _translated(file):
                connection.execute("set global TimeZone = 'UTC'")
                if read_only:
                    _check_readable(connection)
                else:
                    migrate(connection)
            return cls(connection, file, clock)
        except BaseException as error:
            connection.close()
            if isinstance(error, StoreError) and error.file is None and file is not None:
                raise StoreError(error.message, remedy=error.remedy, file=file) from error
            raise

    def close(self) -> None:
        """Close the file; an open transaction is rolled back."""
        self._ledger.close()
        self._main.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the body or none; inside another transaction it joins that one.

        An exception in the body rolls back the outermost transaction, even if somebody in between catches it: half of
        an inner write must never be committed with the rest. Ledger rows are the exception, see `append_verdicts`.

        Raises:
            StoreError: an inner transaction failed, its exception was caught, and now the outer one would commit.
        """
        if self._depth:
            self._depth += 1
            try:
                yield
            except BaseException:
                self._doomed = True
                raise
            finally:
                self._depth -= 1
            return
        self._run("begin")
        self._depth, self._doomed, self._lines_changed = 1, False, False
        try:
            yield
            if self._doomed:
                raise StoreError("a write inside this transaction had failed, so all of it was rolled back")
            self._run("commit")
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._depth, self._lines_changed = 0, False

    def _roll_back(self) -> None:
        with suppress(duckdb.Error):  # a failed commit has ended it already; the error on its way matters more
            self._main.execute("rollback")

    def _run(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        with _translated(self.path):
            self._main.execute(sql, dict(parameters or {}))

    def _table(
        self,
        sql: str,
        schema: pa.Schema,
        parameters: Mapping[str, Any] | None = None,
        *,
        on: duckdb.DuckDBPyConnection | None = None,
    ) -> pa.Table:
        """The query's rows in the schema given."""
        with _translated(self.path):
            relation = (on or self._main).sql(sql, params=dict(parameters or {}))
            return relation.to_arrow_table().cast(schema)

    def _value(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the query's only row."""
        with _translated(self.path):
            return self._main.execute(sql, dict(parameters or {})).fetchall()[0][0]

    @contextmanager
    def _given(
        self, table: pa.Table, name: str = "given", on: duckdb.DuckDBPyConnection | None = None
    ) -> Iterator[None]:
        """The Arrow table can be queried under the name in the body."""
        connection = on or self._main
        connection.register(name, table)
        try:
            yield
        finally:
            # In a transaction that an error has aborted this is refused; the rollback takes the view away then.
            with suppress(duckdb.Error):
                connection.unregister(name)


def _check_readable(connection: duckdb.DuckDBPyConnection) -> None:
    have = stored_version(connection)
    if have != len(MIGRATIONS):
        raise StoreError(
            f"the store has schema version {have}, this cmdclf reads version {len(MIGRATIONS)}",
            remedy="Update cmdclf" if have > len(MIGRATIONS) else "Open it once for writing, which migrates it",
        )


@contextmanager
def _translated(file: Path | None) -> Iterator[None]:
    """DuckDB's errors as StoreError with a remedy; mistakes in our own SQL pass as they are."""
    try:
        yield
    except (duckdb.ParserException, duckdb.CatalogException, duckdb.BinderException):
        raise
    except duckdb.Error as error:
        message, remedy = _in_words(error)
        raise StoreError(message, remedy=remedy, file=file) from error


_DAMAGED = ("corrupt", "could not read enough bytes", "failed to deserialize", "checksum")
_FULL = ("no space left", "file too large", "quota exceeded", "failed to offload", "max_temp_directory_size")


def _in_words(error: duckdb.Error) -> tuple[str, str]:
    text = str(error).strip()
    first = text.splitlines()[0]
    lower = text.lower()
    if "conflicting lock" in lower or "could not set lock" in lower:
        holder = text[text.find("(PID") :].split(")")[0].lstrip("(") if "(PID" in text else "another process"
        return (
            f"the store is open in another process ({holder})",
            "Wait for that process or end it, then run the same command again",
        )
    if "not a valid duckdb" in lower:
        return "this file is not a DuckDB file", "Name another file for the store, or move this one"
    broken = (duckdb.InternalException, duckdb.FatalException, duckdb.SerializationException)
    if any(words in lower for words in _DAMAGED) or isinstance(error, broken):
        return (
            f"the store is damaged ({first})",
            "Put a copy of the file in its place; or move it away, make the store anew and take the verdicts from an"
            " export: cmdclf label import --history",
        )
    if any(words in lower for words in _FULL):
        return (
            f"the disk is full or a file may not grow ({first})",
            "Free some space and run the same command again, what was finished is kept",
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return (
            f"DuckDB's memory limit was reached ({first})",
            "Give it more (--memory, memory_limit_mb), or a temp_dir with more space",
        )
    return first, "Nothing of this step was stored; correct the cause and run it again"
