"""`cmdclf label audit --suspects`: a classifier taught by the verdicts themselves says which it doesn't believe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._messages import printable, say

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.store import Store

__all__ = ["add_arguments", "mark"]

_BATCH = "confident learning"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments on suspects."""
    group = parser.add_argument_group("confident learning")
    group.add_argument(
        "--suspects", action="store_true", help="mark verdicts for review that a classifier, taught by all the others,"
        " confidently contradicts",
    )  # fmt: skip
    group.add_argument(
        "--labelled", type=Path, action="append", default=[], metavar="FILE", help="Parquet with command_line, platform"
        " and label that teaches too, where verdicts are few; repeatable",
    )  # fmt: skip
    group.add_argument("--most", type=int, default=20_000, metavar="N", help="at most N of those lines (20000)")
    group.add_argument("--folds", type=int, default=5, metavar="N", help="of the cross-validation (5)")
    group.add_argument("--embedder", default="bundled", metavar="NAME|DIR", help="which embedder (bundled)")


def mark(store: Store, args: argparse.Namespace, lines: pa.Table | None) -> dict[str, Any]:
    """Find the suspects among the standing verdicts of judges, mark them for review, say and write them."""
    import pyarrow as pa

    from cmdclf.errors import JudgeError
    from cmdclf.labels.review import SUSPECT
    from cmdclf.labels.suspects import confident_joint
    from cmdclf.labels.tables import write_table

    if args.folds < 2:
        raise JudgeError(f"{args.folds} folds are too few", remedy="Give --folds 2 or more")
    own = _verdicts(store, lines)
    rows = pa.concat_tables([own, _labelled(args.labelled, own, args.most)]).combine_chunks()
    labels = rows["malicious"].to_numpy()
    probabilities = _out_of_fold(rows, labels, args)
    found = confident_joint(labels, probabilities)
    judged = rows["judge"].to_pylist()
    kept = [i for i, row in enumerate(found.suspects.tolist()) if judged[row] not in ("", "person")]
    table = rows.take(pa.array(found.suspects[kept])).drop_columns(["malicious"])
    table = table.append_column("p_malicious", pa.array(probabilities[found.suspects[kept], 1]))
    table = table.append_column("value", pa.array(found.margins[kept]))
    detail = [f"{v} by {j}, P(malicious) {p:.3f} by the others" for v, j, p in zip(
        table["verdict"].to_pylist(), table["judge"].to_pylist(), table["p_malicious"].to_pylist(), strict=True
    )]  # fmt: skip
    table = table.append_column("detail", pa.array(detail, pa.string()))
    store.put_marks(SUSPECT, _BATCH, table)
    say(
        f"{table.num_rows:,} suspects among {own.num_rows:,} verdicts ({rows.num_rows - own.num_rows:,} labelled lines"
        f" taught too); an estimated {found.error_share:.1%} of all these labels are wrong."
    )
    for row in table.slice(0, 10).to_pylist():
        said = f"{row['command_id'][:12]}  {row['verdict']:<9}  P(malicious) {row['p_malicious']:.3f}"
        say(f"  {said}  {printable(row['command_line'][:160])}")
    say("They are marked for 'cmdclf label review'.")
    if args.out is not None:
        write_table(table, args.out)
    return {"suspects": table.num_rows, "verdicts": own.num_rows, "error_share": found.error_share}


def _verdicts(store: Store, lines: pa.Table | None) -> pa.Table:
    """LINES with seq, verdict, judge, malicious int64 of all standing benign and malicious verdicts, people's too."""
    import pyarrow.compute as pc

    from cmdclf.labels import standing_verdicts
    from cmdclf.labels.review import known_texts

    verdicts = standing_verdicts(store)
    verdicts = verdicts.filter(pc.not_equal(verdicts["verdict"], "unsure"))
    texts = known_texts(store, lines, verdicts["command_id"].combine_chunks())
    at = pc.index_in(texts["command_id"], value_set=verdicts["command_id"].combine_chunks())
    for name in ("seq", "verdict", "judge"):
        texts = texts.append_column(name, verdicts[name].take(at))
    return texts.append_column("malicious", pc.equal(texts["verdict"], "malicious").cast("int64"))


def _labelled(files: list[Path], own: pa.Table, most: int) -> pa.Table:
    """The rows of labelled files in the same columns, judge empty; lines with a verdict are left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from cmdclf.study.labelled import read_labelled
    from cmdclf.telemetry import command_ids

    parts = [own.slice(0, 0)]
    for file in files:
        table = read_labelled(file)
        platform, line = (table[name].combine_chunks() for name in ("platform", "command_line"))
        columns = {
            "command_id": command_ids(platform, line), "platform": platform, "command_line": line,
            "parent_command_line": pa.nulls(len(line), pa.string()), "seq": pa.nulls(len(line), pa.int64()),
            "verdict": table["label"], "judge": pa.repeat("", len(line)),
            "malicious": pc.equal(table["label"], "malicious").cast("int64"),
        }  # fmt: skip
        parts.append(pa.table(columns).cast(_nullable(own.schema)))
    rows = pa.concat_tables([part.cast(_nullable(own.schema)) for part in parts])
    rows = rows.filter(pc.invert(pc.is_in(rows["command_id"], value_set=own["command_id"].combine_chunks())))
    first: dict[str, int] = {}
    for place, command_id in enumerate(rows["command_id"].to_pylist()):
        first.setdefault(command_id, place)
    # The smallest ids are a random choice that stays the same: an id is a hash.
    chosen = [first[command_id] for command_id in sorted(first)[: max(most, 0)]]
    return rows.take(pa.array(chosen, pa.int64())).cast(own.schema) if chosen else own.slice(0, 0)


def _out_of_fold(rows: pa.Table, labels: Any, args: argparse.Namespace) -> Any:
    from cmdclf.classify import Classifier, Featuriser
    from cmdclf.dedup import near_duplicates
    from cmdclf.features import FeatureMaker, load_embedder
    from cmdclf.labels.suspects import out_of_fold

    embedder = load_embedder(args.embedder)
    featuriser = Featuriser(FeatureMaker().fit(rows), embedder)
    matrix = featuriser.matrix_of(rows.select(["command_id", "platform", "command_line"]))
    vectors = matrix[:, -embedder.dim :]
    groups = near_duplicates(rows.select(["command_id", "platform", "command_line"]), vectors)
    heads = dict(zip(groups["command_id"].to_pylist(), groups["representative_id"].to_pylist(), strict=True))
    names = [heads[command_id] for command_id in rows["command_id"].to_pylist()]

    def make() -> Classifier:
        # Uncalibrated: each class has its own threshold in confident learning, so that the scale makes no difference.
        return Classifier(max_iter=100, folds=0, random_state=args.seed)

    return out_of_fold(make, matrix, labels, names, folds=args.folds, seed=args.seed)


def _nullable(schema: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([field.with_nullable(True) for field in schema])
