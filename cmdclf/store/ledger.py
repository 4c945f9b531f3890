"""The label ledger: append-only, a later verdict supersedes an earlier one and never erases it.

What counts as later is the order of writing (`seq`), never the clock: one that jumps back changes no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.errors import StoreError
from cmdclf.store.database import Database, _translated
from cmdclf.store.schema import LEDGER_ROW, VERDICT_COSTS, VERDICT_COUNTS, VERDICTS, checked

__all__ = ["Ledger"]

_COLUMNS = ", ".join(LEDGER_ROW.names)
_VALUES = ("benign", "malicious", "unsure")


class Ledger(Database):
    """The table `verdict`."""

    def append_verdicts(self, table: pa.Table) -> None:
        """Append rows of LEDGER_ROW in their order; on return they are on the disk.

        They are committed on their own, also inside a transaction or a stage: whoever paid for an answer keeps it, even
        if the stage around it fails. A missing `judged_at` becomes now.

        Raises:
            StoreError: a column is missing or holds nulls, or a verdict is none of benign, malicious, unsure.
        """
        rows = checked(table, LEDGER_ROW, "verdicts")
        odd = rows.filter(pc.invert(pc.is_in(rows.column("verdict"), pa.array(_VALUES))))
        if odd.num_rows:
            raise StoreError(
                f"{odd.column('verdict')[0].as_py()!r} is no verdict",
                remedy=f"A verdict is one of {', '.join(_VALUES)}",
            )
        now = pa.scalar(self._clock(), pa.timestamp("us", tz="UTC"))
        place = LEDGER_ROW.get_field_index("judged_at")
        rows = rows.set_column(place, LEDGER_ROW.field(place), pc.fill_null(rows.column(place), now))
        rows = rows.append_column("place", pa.array(range(rows.num_rows), pa.int64()))
        with _translated(self.path), self._given(rows, on=self._ledger):
            self._ledger.execute(f"insert into verdict({_COLUMNS}) select {_COLUMNS} from given order by place")  # noqa: S608

    def verdicts(
        self,
        ids: pa.Array | pa.ChunkedArray | Sequence[str] | None = None,
        *,
        judge: str | None = None,
        model: str | None = None,
        prompt_sha256: str | None = None,
    ) -> pa.Table:
        """VERDICTS: the latest row of each command_id, ordered by command_id.

        Args:
            ids: only these command_ids; ids without a verdict are left out. None means all.
            judge, model, prompt_sha256: the latest row that they wrote, whatever others said later. None: any.
        """
        limit = "" if ids is None else "and command_id in (select command_id from given)"
        sql = (
            f"select seq, {_COLUMNS} from verdict where ($judge is null or judge = $judge)"  # noqa: S608
            " and ($model is null or model = $model) and ($prompt is null or prompt_sha256 = $prompt)"
            f" {limit} qualify row_number() over (partition by command_id order by seq desc) = 1 order by command_id"
        )
        by = {"judge": judge, "model": model, "prompt": prompt_sha256}
        if ids is None:
            return self._table(sql, VERDICTS, by, on=self._ledger)
        array = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids, pa.string())
        with self._given(pa.table({"command_id": array}), on=self._ledger):
            return self._table(sql, VERDICTS, by, on=self._ledger)

    def verdict_history(self, command_id: str) -> pa.Table:
        """VERDICTS: every row of one command line, oldest first."""
        sql = f"select seq, {_COLUMNS} from verdict where command_id = $id order by seq"  # noqa: S608
        return self._table(sql, VERDICTS, {"id": command_id}, on=self._ledger)

    def verdict_ids(self, prefix: str, most: int = 10) -> list[str]:
        """The first `most` command_ids with a verdict that begin so, in order."""
        sql = "select distinct command_id from verdict where starts_with(command_id, $prefix) order by 1 limit $most"
        with _translated(self.path):
            return [i for (i,) in self._ledger.execute(sql, {"prefix": prefix, "most": most}).fetchall()]

    def verdict_batches(self, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        """The whole ledger in batches of VERDICTS, in the order in which it was written."""
        # A connection of its own: the ledger's would end this result at its next query.
        with _translated(self.path), self._ledger.cursor() as reader:
            relation = reader.sql(f"select seq, {_COLUMNS} from verdict order by seq")  # noqa: S608
            for batch in relation.to_arrow_reader(batch_rows):
                yield batch.cast(VERDICTS)

    def verdicts_by_judge(self) -> pa.Table:
        """VERDICTS: the latest row of each judge (name, model, prompt, reviewer) on each line, by command_id, seq."""
        return self._table(
            f"select seq, {_COLUMNS} from verdict qualify row_number() over ("  # noqa: S608
            " partition by command_id, judge, coalesce(model, ''), coalesce(prompt_sha256, ''), coalesce(reviewer, '')"
            " order by seq desc) = 1 order by command_id, seq",
            VERDICTS,
            on=self._ledger,
        )

    def verdict_costs(self) -> pa.Table:
        """VERDICT_COSTS of all rows by day, judge and model; `latency_s` is the mean of a verdict."""
        return self._table(
            "select cast(judged_at as date) as day, judge, coalesce(model, '') as model, count(*) as verdicts,"
            " cast(coalesce(sum(prompt_tokens), 0) as bigint) as prompt_tokens,"
            " cast(coalesce(sum(completion_tokens), 0) as bigint) as completion_tokens,"
            " coalesce(sum(cost_usd), 0) as cost_usd, coalesce(avg(latency_s), 0) as latency_s"
            " from verdict group by all order by day, judge, model",
            VERDICT_COSTS,
            on=self._ledger,
        )

    def verdict_counts(self) -> pa.Table:
        """VERDICT_COUNTS: lines by the judge, verdict and veto of their latest row, with what those rows cost."""
        return self._table(
            "select judge, verdict, vetoed, count(*) as lines, coalesce(sum(cost_usd), 0) as cost_usd from ("
            " select judge, verdict, vetoed_by is not null as vetoed, cost_usd from verdict"
            " qualify row_number() over (partition by command_id order by seq desc) = 1)"
            " group by all order by all",
            VERDICT_COUNTS,
            on=self._ledger,
        )
