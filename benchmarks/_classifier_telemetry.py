"""False alerts on recorded telemetry, counted per event with the frequencies that it was recorded with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from _classifier_folds import Corpus

from cmdclf.errors import TelemetryError

__all__ = ["Telemetry", "beside", "false_alerts", "recorded"]

#: Captures of an attack, and a file that is known to hold one: no part of what is benign by rule.
_CAPTURES = ("OTRF/Security-Datasets",)
_ATTACKED = ("mde_proc_cs1.csv",)


@dataclass
class Telemetry:
    """Distinct recorded lines.

    Attributes:
        name: as tables print it.
        about: what is counted.
        corpus: the distinct lines.
        events: (n,) int64, how often each was recorded by whom the count is about; 0: it doesn't count.
        benign: all of it is known to be benign.
    """

    name: str
    about: str
    corpus: Corpus
    events: np.ndarray
    benign: bool = False


def recorded(folder: Path, most: int | None) -> tuple[list[Telemetry], list[str]]:
    """The telemetry of a data folder, and what is missing there.

    Args:
        folder: with telemetry_linux.parquet and telemetry_otrf.parquet.
        most: so many distinct lines of each at most, the first ones in order of their text's hash; None: all.
    """
    found, missing = [], []
    for name, read in (("telemetry_linux", _linux), ("telemetry_otrf", _otrf)):
        path = folder / f"{name}.parquet"
        if not path.is_file():
            missing.append(f"false alerts on {name}: there is no {path.name}")
            continue
        table, about = read(path)
        found.append(_distinct(name, about, table, most, benign=name == "telemetry_linux"))
    return found, missing


def _linux(path: Path) -> tuple[pa.Table, str]:
    table = _read(path, ["command_line", "platform", "label", "count"])
    return table.filter(pc.equal(table["label"], "benign")), "Linux, benign by construction"


def _otrf(path: Path) -> tuple[pa.Table, str]:
    table = _read(path, ["process_command_line", "platform", "source", "path", "user", "count"])
    calm = pc.invert(pc.is_in(table["source"], pa.array(_CAPTURES)))
    for name in _ATTACKED:
        calm = pc.and_(calm, pc.invert(pc.match_substring(table["path"], name)))
    table = table.filter(pc.and_(calm, pc.equal(table["platform"], "windows")))
    # On this host attacks were staged by hand: what people's accounts started is not known to be benign.
    user = pc.fill_null(table["user"], "")
    own = pc.or_(pc.ends_with(user, "$"), pc.starts_with(user, "NT AUTHORITY\\"))
    counted = pc.if_else(own, table["count"], 0)
    table = table.set_column(table.column_names.index("count"), "count", counted)
    about = "Windows, label unknown: what the machine's own accounts started, every alert counts as false"
    return table.rename_columns({"process_command_line": "command_line"}), about


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        missing = [c for c in columns if c not in pq.read_schema(path).names]
        if missing:
            remedy = f"This benchmark reads {', '.join(columns)}"
            raise TelemetryError(f"column {' and '.join(missing)} is missing", file=path, remedy=remedy)
        return pq.read_table(path, columns=columns)
    except pa.ArrowInvalid as error:
        raise TelemetryError("this is no Parquet file", file=path, remedy="Give the recorded telemetry") from error


def _distinct(name: str, about: str, table: pa.Table, most: int | None, *, benign: bool) -> Telemetry:
    grouped = table.group_by(["platform", "command_line"], use_threads=False).aggregate([("count", "sum")])
    order = np.random.default_rng(0).permutation(grouped.num_rows)[: grouped.num_rows if most is None else most]
    grouped = grouped.take(pa.array(np.sort(order)))
    corpus = Corpus(grouped["command_line"].to_pylist(), np.array(grouped["platform"].to_pylist(), object))
    return Telemetry(name, about, corpus, grouped["count_sum"].to_numpy().astype(np.int64), benign)


def beside(
    telemetry: list[Telemetry],
    extra: dict[str, np.ndarray],
    malicious: np.ndarray,
    scores: np.ndarray,
    group: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Judged lines with the recorded benign ones put beside them, so that far tails are resolved.

    Each recorded line is scored by one fold's model, in turn, and is a group of its own.

    Args:
        telemetry: of which the benign ones count.
        extra: name -> (folds, n) scores.
        malicious, scores, group: (m,) of the judged lines.

    Returns:
        The three, longer.
    """
    for t in telemetry:
        if t.benign and t.name in extra:
            n = len(t.corpus)
            given = extra[t.name][np.arange(n) % len(extra[t.name]), np.arange(n)]
            malicious = np.concatenate([malicious, np.zeros(n, bool)])
            scores = np.concatenate([scores, given])
            group = np.concatenate([group.astype(str), [f"{t.name} {i}" for i in range(n)]])
    return malicious, scores, group


def false_alerts(telemetry: Telemetry, scores: np.ndarray, threshold: float) -> dict:
    """Alerts per 100,000 events at a threshold, over the models of all folds.

    Args:
        telemetry: n distinct lines.
        scores: (folds, n), each fold's model on every line.
        threshold: a line alerts from this score on.

    Returns:
        `per_100k` the mean over the folds, `range` the lowest and the highest fold, `lines` distinct lines that alert
        (mean), `events` and `distinct` what it is counted over.
    """
    alerts = (scores >= threshold) & (telemetry.events > 0)
    rates = (alerts * telemetry.events).sum(axis=1) / telemetry.events.sum() * 100_000
    return {
        "per_100k": round(float(rates.mean()), 1),
        "range": [round(float(rates.min()), 1), round(float(rates.max()), 1)],
        "lines": round(float(alerts.sum(axis=1).mean()), 1),
        "events": int(telemetry.events.sum()),
        "distinct": int((telemetry.events > 0).sum()),
        "counted": telemetry.about,
    }
