"""`cmdclf label audit`: confusion with the truth, bounds of the benign verdicts' precision, sizes of samples."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from cmdclf.cli._messages import say

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Print the audit's figures; with `--json` write them too."""
    from cmdclf.errors import JudgeError
    from cmdclf.labels.audit import agreement, sample_size
    from cmdclf.labels.tables import read_table

    if not 0 < args.bound < 1:
        raise JudgeError(f"--bound {args.bound} is no share", remedy="Give a number between 0 and 1")
    say(f"{sample_size(args.bound):,} audited verdicts, all right, show at 95 % confidence that {args.bound:.1%} are.")
    if args.truth is None:
        return 0
    truth, file = read_table(args.truth)
    if missing := [name for name in ("command_id", "label") if name not in truth.column_names]:
        raise JudgeError(
            f"the column '{missing[0]}' is missing", file=file, remedy="The truth has command_id and label"
        )
    found = agreement(_verdicts(args), truth)
    width = 12
    say(f"{'truth':<{width}}{'benign':>10}{'malicious':>11}{'unsure':>9}")
    for label in ("benign", "malicious"):
        counts = [found.confusion[label, verdict] for verdict in ("benign", "malicious", "unsure")]
        say(f"{label:<{width}}{counts[0]:>10,}{counts[1]:>11,}{counts[2]:>9,}")
    low, high = found.interval
    say(
        f"{found.lines:,} lines compared; of {found.benign_said:,} benign verdicts {found.benign_right:,} are right:"
        f" {found.precision:.4f} (exact 95 % interval {low:.4f} to {high:.4f})"
    )
    if args.json:
        args.json.write_text(json.dumps(found.record(), indent=1) + "\n", encoding="utf-8")
    return 0


def _verdicts(args: argparse.Namespace) -> pa.Table:
    """`command_id` and `verdict` of the file or of the store's standing verdicts."""
    from cmdclf.errors import JudgeError
    from cmdclf.labels import standing_verdicts
    from cmdclf.labels.tables import read_table
    from cmdclf.store import Store

    if args.recorded is not None:
        table, file = read_table(args.recorded)
        if missing := [name for name in ("command_id", "verdict") if name not in table.column_names]:
            raise JudgeError(f"the column '{missing[0]}' is missing", file=file)
        return table
    if args.store is None or not args.store.is_file():
        raise JudgeError("no verdicts are named", remedy="Give --store FILE or --recorded FILE", file=args.store)
    with Store.open(args.store) as store:
        return standing_verdicts(store)
