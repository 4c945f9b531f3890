"""The judge that repeats verdicts which were given elsewhere: a Parquet or JSON lines file, or a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.errors import JudgeError
from cmdclf.labels.judge import Answer, JudgeRequest, Unanswered
from cmdclf.labels.tables import content_sha256, lookup, read_table, text_column, with_command_id
from cmdclf.labels.verdict import LABELS, Label, Verdict, clean_reply
from cmdclf.lines import mask, redact_many

__all__ = ["MASKED_NOTE", "RecordedJudge"]

MASKED_NOTE = "matched on masked text"

#: Columns of a recorded verdict that are passed on where the file has them.
_PASSED_ON = ("reason", "technique", "effort", "raw_reply", "note")
_SAYS = ("command_id", "verdict", "confidence", "p_malicious", "vetoed_by", "reason", "technique")


class RecordedJudge:
    """Verdicts from a file, matched by command_id and, where asked for, by masked text.

    The file has `verdict` (benign, malicious, unsure) and `confidence` (0..1) or `p_malicious` (0..100), and names its
    lines by `command_id`, or by `platform` and `command_line` (or `process_command_line`). `reason`, `technique`,
    `effort`, `raw_reply`, `note` and `vetoed_by` are passed on; `judge` and `model` of the file go into the note, so
    that the ledger shows who spoke first. Lines that the file doesn't know stay unanswered.

    Args:
        source: Parquet or JSON lines file, table, or list of records.
        column: which column holds the command lines; None takes `command_line`, else `process_command_line`.
        match: `exact` answers only for the very line. `masked` also answers where platform and masked text (numbers,
            ids, hashes, user names and the like replaced) agree; if the verdicts of one mask disagree, none is given.
        name: who gave the verdicts; the judge is called `recorded(NAME)`. None takes the file's name.
        model: what gave the verdicts, for the ledger.

    Raises:
        JudgeError: the file can't be read, a column is missing, or a row holds no verdict or a strange confidence.
    """

    def __init__(
        self,
        source: pa.Table | Sequence[dict[str, Any]] | str | Path,
        *,
        column: str | None = None,
        match: Literal["exact", "masked"] = "exact",
        name: str | None = None,
        model: str = "",
    ) -> None:
        if match not in ("exact", "masked"):
            raise JudgeError(f"match='{match}' is not known", remedy="Use 'exact' or 'masked'")
        self.match = match
        self._recorded_model = model
        table, self.file = read_table(source)
        self._title = name or (self.file.stem if self.file else "table")
        text = text_column(table, column, self.file)
        table = with_command_id(table, text, self.file)
        self._text = text
        self._rows = _checked(table, self.file)
        self._ids, self._first = _agreeing(self._rows["command_id"], self._rows["verdict"])
        self._masks: pa.Array | None = None
        if match == "masked":
            if text is None or "platform" not in table.column_names:
                raise JudgeError(
                    "matching on masked text needs the columns command_line and platform",
                    file=self.file,
                    remedy=f"It has: {', '.join(table.column_names)}",
                )
            keys = _mask_keys(table["platform"], table[text])
            self._masks, self._first_of_mask = _agreeing(keys, self._rows["verdict"])
        # A file that was mended is another judge: what the ledger has of the old one doesn't count for it.
        says = self._rows.select([name for name in _SAYS if name in self._rows.column_names])
        self.prompt_sha256 = content_sha256(says.append_column("match", pa.repeat(match, says.num_rows)))

    @property
    def name(self) -> str:
        """`recorded(NAME)`."""
        return f"recorded({self._title})"

    @property
    def model(self) -> str | None:
        """Always None: a recorded line is settled whatever once answered it."""
        return None

    @property
    def lines(self) -> pa.Table:
        """The recorded lines whose text the file holds, distinct: command_id, platform, command_line; maybe none."""
        schema = pa.schema([(name, pa.string()) for name in ("command_id", "platform", "command_line")])
        if self._text is None or "platform" not in self._rows.column_names:
            return schema.empty_table()
        rows = self._rows.take(_first_rows(self._rows["command_id"])[1])
        rows = rows.filter(pc.and_(pc.is_valid(rows["platform"]), pc.is_valid(rows[self._text])))
        return pa.table([rows["command_id"], rows["platform"], rows[self._text]], schema=schema)

    @property
    def command_ids(self) -> pa.Array:
        """The recorded lines' command_ids, distinct, in the file's order."""
        return _first_rows(self._rows["command_id"])[0]

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[Answer]:
        """One answer per request, in order."""
        rows = lookup(self._ids, self._first, [r.command_id for r in requests])
        by_mask = [None] * len(requests)
        if self._masks is not None and requests:
            keys = _mask_keys(
                pa.chunked_array([pa.array([r.platform for r in requests], pa.string())]),
                pa.chunked_array([pa.array([r.text for r in requests], pa.string())]),
                redacted=True,
            )
            by_mask = lookup(self._masks, self._first_of_mask, keys.to_pylist())
        chosen = [row if row is not None else masked for row, masked in zip(rows, by_mask, strict=True)]
        found = [row for row in chosen if row is not None and row >= 0]
        records = dict(zip(found, self._rows.take(pa.array(found, pa.int64())).to_pylist(), strict=True))
        for request, exact, row in zip(requests, rows, chosen, strict=True):
            if row is None:
                yield Unanswered(request.command_id, "not recorded")
            elif row < 0:
                yield Unanswered(request.command_id, "recorded verdicts disagree")
            else:
                yield self._verdict(request, records[row], masked=exact is None)

    def _verdict(self, request: JudgeRequest, record: dict[str, Any], *, masked: bool) -> Verdict:
        passed = {name: clean_reply(record.get(name), 4000) for name in _PASSED_ON}
        source = [
            f"{key}={clean_reply(record[key], 100)}" for key in ("judge", "model", "prompt_sha256") if record.get(key)
        ]
        origin = f"recorded from {', '.join(source)}" if source else ""
        notes = [MASKED_NOTE if masked else "", passed["note"], origin]
        return Verdict(
            request.command_id,
            record["verdict"],
            _confidence(record),
            self.name,
            model=self._recorded_model or clean_reply(record.get("model"), 100),
            vetoed_by=clean_reply(record.get("vetoed_by"), 200) or None,
            reason=passed["reason"],
            technique=passed["technique"],
            effort=passed["effort"],
            prompt_sha256=self.prompt_sha256,
            raw_reply=passed["raw_reply"],
            note="; ".join(note for note in notes if note),
        )


def _checked(table: pa.Table, file: Path | None) -> pa.Table:
    """The table with its verdicts in lower case, each row of it sound."""
    if "verdict" in table.column_names and not pa.types.is_string(table["verdict"].type):
        raise JudgeError(
            f"the column 'verdict' holds {table['verdict'].type}, not text",
            file=file,
            remedy=f"Use {', '.join(LABELS)}",
        )
    if "verdict" not in table.column_names:
        raise JudgeError(
            "the column 'verdict' is missing", file=file, remedy=f"It has: {', '.join(table.column_names)}"
        )
    verdicts = pc.utf8_lower(pc.utf8_trim_whitespace(pc.fill_null(table["verdict"], "")))
    _refuse(
        pc.invert(pc.is_in(verdicts, pa.array(LABELS))),
        "the verdict is missing or unknown",
        f"Use {', '.join(LABELS)}",
        file,
    )
    table = table.set_column(table.schema.get_field_index("verdict"), "verdict", verdicts)
    for name, top in (("confidence", 1.0), ("p_malicious", 100.0)):
        if name not in table.column_names:
            continue
        try:
            numbers = table[name].cast(pa.float64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise JudgeError(f"the column '{name}' holds {table[name].type}, not numbers", file=file) from error
        outside = pc.or_(pc.is_nan(numbers), pc.or_(pc.less(numbers, 0.0), pc.greater(numbers, top)))
        _refuse(pc.fill_null(outside, False), f"{name} lies outside 0..{top:g}", f"Scale it to 0..{top:g}", file)
        table = table.set_column(table.schema.get_field_index(name), name, numbers)
    return table.combine_chunks()


def _refuse(bad: pa.ChunkedArray, message: str, remedy: str, file: Path | None) -> None:
    row = pc.index(bad, True).as_py()
    if row >= 0:
        raise JudgeError(message, file=file, row=row + 1, remedy=remedy)


def _first_rows(keys: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """The distinct keys and the first row of each, in order of appearance."""
    numbered = pa.table({"key": keys, "row": pa.array(range(len(keys)), pa.int64())})
    first = numbered.group_by("key", use_threads=False).aggregate([("row", "min")]).sort_by("row_min")
    return first["key"].combine_chunks(), first["row_min"].combine_chunks()


def _agreeing(keys: pa.ChunkedArray, verdicts: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """The distinct keys and for each its first row, or -1 where its verdicts disagree."""
    rows = pa.array(range(len(keys)), pa.int64())
    groups = (
        pa.table({"key": keys, "verdict": verdicts, "row": rows})
        .group_by("key", use_threads=False)
        .aggregate([("row", "min"), ("verdict", "min"), ("verdict", "max")])
    )
    same = pc.equal(groups["verdict_min"], groups["verdict_max"])
    return groups["key"].combine_chunks(), pc.if_else(same, groups["row_min"], -1).combine_chunks()


def _mask_keys(platform: pa.ChunkedArray, text: pa.ChunkedArray, *, redacted: bool = False) -> pa.ChunkedArray:
    """Platform and masked text as one string; recorded lines are redacted first, because requests are."""
    plain = text.combine_chunks()
    masked = mask(plain if redacted else redact_many(plain))
    return pa.chunked_array([pc.binary_join_element_wise(platform.combine_chunks(), masked, "\n")])


def _confidence(record: dict[str, Any]) -> float:
    """Confidence in the verdict, 0..1; from `p_malicious` (0..100) where no confidence was recorded, else 0.5."""
    stated, percent = record.get("confidence"), record.get("p_malicious")
    if stated is not None and math.isfinite(stated):
        return float(stated)
    if percent is None or not math.isfinite(percent):
        return 0.5
    share = float(percent) / 100.0
    verdict: Label = record["verdict"]
    return {"malicious": share, "benign": 1.0 - share, "unsure": 1.0 - abs(2.0 * share - 1.0)}[verdict]
