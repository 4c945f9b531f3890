"""Parquet files with a command-line column: our own schema, or any known or mapped names, nested ones too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.errors import TelemetryError
from cmdclf.telemetry.readers.base import ReadOptions, Rejected, Skipped
from cmdclf.telemetry.readers.normalise import as_text, normalise
from cmdclf.telemetry.readers.profiles import Profile, choose, mapped

__all__ = ["ParquetReader", "columns_of", "profile_of", "starts"]

#: These read as "absent" in Windows event fields; elsewhere '-' may be a value.
_ABSENT = pa.array(["-", "?"])


class ParquetReader:
    """Reads Parquet, batch by batch; struct columns are reached by dotted names."""

    name = "parquet"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the file begins with Parquet's magic bytes."""
        return head.startswith(b"PAR1")

    def read(self, path: Path, options: ReadOptions) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
        """Process events of a Parquet file; see `Reader.read`."""
        try:
            with pq.ParquetFile(path) as file:
                leaves = _leaves(file.schema_arrow)
                profile = profile_of(path, list(leaves), options)
                wanted = {leaves[n.lower()] for n in _names(profile) if n.lower() in leaves}
                start = 0
                for batch in file.iter_batches(batch_size=options.batch_rows, columns=sorted(wanted)):
                    yield from self._batch(batch, start, profile, options)
                    start += batch.num_rows
                if start != file.metadata.num_rows:
                    raise TelemetryError(
                        f"the Parquet file promises {file.metadata.num_rows:,} rows and holds {start:,}", file=path
                    )
        except (pa.ArrowException, OSError) as error:
            raise TelemetryError(
                f"the Parquet file is damaged ({str(error).strip().splitlines()[0][:200]})",
                file=path,
                remedy="Nothing of it was stored: fetch or export it again",
            ) from error

    def _batch(
        self, batch: pa.RecordBatch, start: int, profile: Profile, options: ReadOptions
    ) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
        flat = _flatten(batch)

        def raw(row: int) -> str:
            values = {name: array[row].as_py() for name, array in flat.items()}
            return json.dumps({k: v for k, v in values.items() if v is not None}, default=str, ensure_ascii=False)

        yield from normalise(
            columns_of(flat, profile),
            batch.num_rows,
            options=options,
            source_format=self.name if profile.name in ("own", "generic", "mapped") else profile.name,
            offset=lambda row: start + row + 1,
            raw=raw,
            platform=profile.platform,
            not_a_start=~starts(flat, profile, batch.num_rows),
        )


def profile_of(path: Path, names: list[str], options: ReadOptions) -> Profile:
    """The profile for a file with these column names (case is ignored), with the user's mapping over it.

    Raises:
        TelemetryError: no column holds a command line, or a mapped column isn't there.
    """
    present = {n.lower() for n in names}
    for ours, theirs in options.columns.items():
        if theirs and theirs.lower() not in present:
            raise TelemetryError(
                f"there is no column {theirs!r} for {ours}", file=path, remedy=f"The columns are: {_listed(names)}"
            )
    profile = mapped(choose(lambda name: name.lower() in present), options.columns)
    sources = () if profile is None else profile.fields.get("command_line", ()) + profile.fields.get("argv", ())
    if profile is None or not any(n.lower() in present for n in sources):
        raise TelemetryError(
            f"no column is known to hold a command line; the columns are: {_listed(names)}",
            file=path,
            remedy="Name it with --map command_line=COLUMN",
        )
    return profile


def _listed(names: list[str]) -> str:
    shown = ", ".join(n or "(no name)" for n in names[:30])
    return shown + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def _names(profile: Profile) -> Iterator[str]:
    for sources in profile.fields.values():
        yield from sources
    yield from profile.only
    yield from profile.never


def columns_of(flat: Mapping[str, pa.Array], profile: Profile) -> dict[str, pa.Array]:
    """Our columns from the source's (lower-case names), the first that holds something in each row."""
    columns = {}
    for ours, sources in profile.fields.items():
        arrays = [flat[n.lower()] for n in sources if n.lower() in flat]
        if profile.platform == "windows" and ours != "command_line":
            arrays = [_without_dashes(a) for a in arrays]
        if not arrays:
            continue
        if ours == "argv" or len(arrays) == 1 or not arrays[0].null_count:
            columns[ours] = arrays[0]
        else:  # as text, whatever their types: times are read from text as well
            columns[ours] = pc.coalesce(*[_absent_if_empty(as_text(a)) for a in arrays])
    return columns


def _absent_if_empty(values: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)


def _without_dashes(values: pa.Array) -> pa.Array:
    if not pa.types.is_string(values.type):
        return values
    return pc.if_else(pc.is_in(values, _ABSENT), pa.scalar(None, pa.string()), values)


def starts(flat: Mapping[str, pa.Array], profile: Profile, rows: int) -> np.ndarray:
    """(rows,) bool: which records are process starts by the profile's `only` and `never`."""
    keep = np.ones(rows, bool)
    for wanted, conditions in ((True, profile.only), (False, profile.never)):
        for name, values in conditions.items():
            if name.lower() not in flat:
                continue
            array = flat[name.lower()]
            if pa.types.is_nested(array.type):
                found = [v is not None and any(str(x).lower() in values for x in v) for v in array.to_pylist()]
                absent = [v is None for v in array.to_pylist()]
            else:
                text = pc.utf8_lower(as_text(array))
                found = pc.is_in(text, pa.array(sorted(values))).to_pylist()
                absent = pc.fill_null(pc.equal(text, ""), True).to_pylist()
            hit = np.array(found, bool)
            keep &= (hit | np.array(absent, bool)) if wanted else ~hit
    return keep


def _leaves(schema: pa.Schema) -> dict[str, str]:
    """Lower-case dotted name of every leaf (a list counts as one) -> its name in the file."""
    found: dict[str, str] = {}

    def walk(prefix: str, field: pa.Field) -> None:
        name = prefix + field.name
        if not pa.types.is_struct(field.type):
            found.setdefault(name.lower(), name)
            return
        for inner in field.type:
            walk(f"{name}.", inner)

    for field in schema:
        walk("", field)
    return found


def _flatten(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    flat: dict[str, pa.Array] = {}

    def walk(name: str, array: pa.Array) -> None:
        if pa.types.is_struct(array.type):
            for inner, values in zip(array.type, array.flatten(), strict=True):
                walk(f"{name}.{inner.name}", values)
        else:
            flat.setdefault(name.lower(), array)

    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        walk(name, array)
    return flat
