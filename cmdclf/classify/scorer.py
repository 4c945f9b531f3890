"""Scores from an exported model folder, on onnxruntime: what `cmdclf score` and the service use."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cmdclf.classify.featurise import Featuriser
from cmdclf.classify.manifest import MANIFEST, verify_model
from cmdclf.errors import ModelIntegrityError
from cmdclf.lines import guess_platform
from cmdclf.resources import data_path

if TYPE_CHECKING:
    from cmdclf.classify.neighbours import Neighbours

__all__ = ["SCORED", "Scorer", "default_model_dir", "verdict_thresholds"]

SCORED = pa.schema([("score", pa.float32()), ("verdict", pa.string()), ("model", pa.string())])
_FILLED = pa.schema([("command_line", pa.string()), ("platform", pa.string())])

_VERDICTS = pa.array(["benign", "unsure", "malicious"], pa.string())
#: Rows whose matrix is held at once.
_ROWS = 4096
#: Rows that are not worth a thread of their own.
_FEW = 512
_MODEL_FILE = "classifier.onnx"


def default_model_dir() -> Path:
    """The model folder that is used when none is named: $CMDCLF_MODEL, else ./model, else the bundled one.

    Raises:
        ModelIntegrityError: there is none of them, or $CMDCLF_MODEL names no folder.
    """
    named = os.environ.get("CMDCLF_MODEL")
    if named:
        if not Path(named).is_dir():
            raise ModelIntegrityError(
                "CMDCLF_MODEL names no folder", file=named, remedy="Correct the variable or unset it"
            )
        return Path(named)
    for folder in (Path("model"), data_path("model")):
        if (folder / MANIFEST).is_file():
            return folder
    raise ModelIntegrityError(
        "there is no model: neither $CMDCLF_MODEL, nor ./model, nor a bundled one",
        remedy="Run 'cmdclf demo' or a study to make one, then give --model DIR",
    )


def verdict_thresholds(thresholds: dict[str, float | None]) -> tuple[float, float]:
    """(malicious from, unsure from) out of a manifest's thresholds.

    A score is malicious from the threshold of FPR 1e-3 on, and unsure from that of 1e-2 on. Where the model has none
    for 1e-3, that of 1e-2 decides and nothing is unsure; where it has neither, one half does.
    """
    wide = thresholds.get("0.01")
    narrow = thresholds.get("0.001")
    if narrow is None:
        narrow = 0.5 if wide is None else wide
    return narrow, narrow if wide is None else min(wide, narrow)


class Scorer:
    """A verified model, ready to score.

    Make one with `Scorer.load`. It may be used from several threads at once.

    Args:
        manifest: of the model folder.
        featuriser: makes the model's input.
        session: the onnxruntime session.
        model: what `score` gives as `model`.
        threads: that make the matrices of a large batch.
        folder: of the model, for what is read only when asked for.
    """

    def __init__(
        self,
        manifest: dict[str, Any],
        featuriser: Featuriser,
        session: Any,
        model: str,
        threads: int = 1,
        folder: Path | None = None,
    ) -> None:
        self.manifest = manifest
        self.featuriser = featuriser
        self.model = model
        self._named = pa.scalar(model, pa.string())
        self._session = session
        self._threads = threads
        self._folder = folder
        self.malicious_from, self.unsure_from = verdict_thresholds(manifest["thresholds"])

    @classmethod
    def load(cls, model_dir: str | Path, *, threads: int | None = None) -> Scorer:
        """The scorer of a model folder, every byte of which was checked.

        Args:
            model_dir: what `export_model` wrote.
            threads: for large batches; None: as many as there are cores.

        Raises:
            ModelIntegrityError: a file was changed, is missing or extra, or the model belongs to other features.
        """
        import onnxruntime

        from cmdclf.features import FEATURE_VERSION

        folder = Path(model_dir)
        manifest = verify_model(folder)
        if manifest["feature_version"] != FEATURE_VERSION:
            raise ModelIntegrityError(
                f"the model was trained on features of version {manifest['feature_version']}, "
                f"this installation makes version {FEATURE_VERSION}",
                file=folder / MANIFEST,
                remedy="Use the cmdclf version that exported it, or train and export it again with this one",
            )
        featuriser = Featuriser.load(folder)
        for what, stored, made in (
            ("behavioural checks", manifest["rules_version"], featuriser.maker.rules.version),
            ("embedder", manifest["embedder"]["name"], featuriser.embedder.name),
            ("input width", manifest["input_width"], featuriser.width),
        ):
            # An embedder may name itself by its folder, and the copy lies in another one: only an st: name must hold.
            if stored != made and not (what == "embedder" and (folder / "embedder").is_dir()):
                raise ModelIntegrityError(
                    f"the model's {what} is {stored!r}, what was loaded is {made!r}",
                    file=folder / MANIFEST,
                    remedy="Use the cmdclf version that exported it, or train and export it again with this one",
                )
        options = onnxruntime.SessionOptions()
        # Large batches are scored in parts by threads of our own; waking more would delay a single line.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            str(folder / _MODEL_FILE), sess_options=options, providers=["CPUExecutionProvider"]
        )
        seal = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        cores = threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads or 1
        return cls(manifest, featuriser, session, f"{manifest['name']}@{seal[:8]}", cores, folder)

    def probabilities(self, batch: pa.RecordBatch) -> NDArray[np.float32]:
        """(n,) float32 calibrated probability of malicious per row of a LINES batch; NaN where command_line is null."""
        lines, present = _filled(batch)
        parts = self._in_parts(lines)
        scores = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
        scores[~present] = np.nan
        return scores

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Score, verdict and model of each row, in the batch's order; score and verdict null where the line is null.

        Args:
            batch: with command_line (string) and, where known, platform; a missing platform is guessed.

        Returns:
            Columns of SCORED: score float32 in 0..1, verdict malicious | unsure | benign (see `verdict_thresholds`),
            model string. A batch gives the same scores as its rows one by one.
        """
        scores = self.probabilities(batch)
        known = ~np.isnan(scores)
        values = scores.astype(np.float64)
        verdict = (values >= self.unsure_from).astype(np.int8)
        verdict[values >= self.malicious_from] = 2
        return pa.record_batch(
            [
                pa.array(scores, mask=~known),
                _VERDICTS.take(pa.array(verdict, mask=~known)),
                pa.repeat(self._named, batch.num_rows),
            ],
            schema=SCORED,
        )

    def explain(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Why each score is what it is: spans, decoded layers, behavioural checks, labelled lines like it.

        Returns:
            EXPLAINED, see `cmdclf.classify.explain.explained`. Takes several times as long as `score`.
        """
        from cmdclf.classify.explain import explained

        return explained(self, *_filled(batch))

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """The labelled lines of the model folder, read when first asked for; None where it has none."""
        from cmdclf.classify.neighbours import NEIGHBOURS_FILE, Neighbours

        entry = self.manifest.get("files", {}).get(NEIGHBOURS_FILE)
        if entry is None or self._folder is None:
            return None
        return Neighbours.load(self._folder, entry["sha256"], int(self.featuriser.embedder.dim))

    def run(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) float32 probability of malicious of the featuriser's rows."""
        return np.asarray(self._session.run(["score"], {"features": matrix})[0], dtype=np.float32)

    def _in_parts(self, lines: pa.RecordBatch) -> list[NDArray[np.float32]]:
        def scored(start: int) -> NDArray[np.float32]:
            return self.run(self.featuriser.matrix(lines.slice(start, rows)))

        # At least two parts a thread, since long lines come in clusters, and as many for each, so that none waits.
        # Small batches aren't worth a thread.
        rounds = max(2, -(-lines.num_rows // (_ROWS * self._threads)))
        rows = max(_FEW, -(-lines.num_rows // (rounds * self._threads)))
        starts = range(0, lines.num_rows, rows)
        if self._threads == 1 or len(starts) < 2:
            return [scored(start) for start in starts]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(scored, starts))


def _filled(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, NDArray[np.bool_]]:
    """command_line and platform without nulls, and which rows have a command line."""
    text = _as_string(batch.column("command_line"))
    present = np.ones(len(text), dtype=bool)
    if text.null_count:
        present = np.asarray(pc.is_valid(text).to_numpy(zero_copy_only=False), dtype=bool)
        text = pc.fill_null(text, "")
    if "platform" in batch.schema.names:
        platform = _as_string(batch.column("platform"))
        if platform.null_count:
            platform = pc.coalesce(platform, guess_platform(text))
    else:
        platform = guess_platform(text)
    return pa.record_batch([text, platform], schema=_FILLED), present


def _as_string(column: pa.Array) -> pa.StringArray:
    return column if pa.types.is_string(column.type) else column.cast(pa.string())
