"""From command lines to the classifier's matrix: the one path for training, `cmdclf score` and the service.

Its columns: hand-engineered features, embedding, and where there is an n-gram model its log-odds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cmdclf.errors import CmdclfError, ModelIntegrityError
from cmdclf.features.embed_layers import decoded_as_guessed, with_layers
from cmdclf.lines import DecodedBatch, decode_batch

if TYPE_CHECKING:
    from cmdclf.classify.grams import GramModel
    from cmdclf.features import Embedder, FeatureMaker

__all__ = ["Featuriser"]

_SETTINGS = "featuriser.json"


class Featuriser:
    """Hand-engineered features, embedding and the log-odds of an n-gram model side by side.

    Args:
        maker: the fitted feature maker.
        embedder: the embedder.
        embedder_source: what `load_embedder` was given, where the embedder itself can't say where its files lie.
        grams: a fitted n-gram model, whose log-odds are the last column; None for none.
    """

    def __init__(
        self,
        maker: FeatureMaker,
        embedder: Embedder,
        *,
        embedder_source: str | Path | None = None,
        grams: GramModel | None = None,
    ) -> None:
        self.maker = maker
        self.embedder = embedder
        self.embedder_source = embedder_source
        self.grams = grams

    @property
    def names(self) -> list[str]:
        """The columns' names: the features', then `embedding_0` and so on, then `grams`."""
        embedding = (f"embedding_{i}" for i in range(self.embedder.dim))
        return [*self.maker.feature_names, *embedding, *(["grams"] if self.grams is not None else [])]

    @property
    def width(self) -> int:
        """How many columns the matrix has."""
        return int(self.maker.width) + int(self.embedder.dim) + (self.grams is not None)

    def matrix(self, batch: pa.RecordBatch) -> NDArray[np.float32]:
        """(n, width) float32, C-contiguous, of a LINES batch without nulls in command_line and platform.

        A row depends on its own line only, so a batch gives the same rows as its lines one by one.
        """
        split = self.maker.width
        text = batch.column("command_line")
        # Decoding takes its time: once for all parts. What embedder and n-grams read goes by a guessed platform.
        decoded, read = _decoded(batch)
        out: NDArray[np.float32] = self.maker.matrix(batch, decoded, more=self.width - split)
        embedded = getattr(self.embedder, "embed_read", None)
        out[:, split : split + self.embedder.dim] = self.embedder.embed(text) if embedded is None else embedded(read)
        if self.grams is not None:
            out[:, -1] = self.grams.scores_read(read)
        return out

    def matrix_of(self, lines: pa.Table, *, batch_rows: int = 8192) -> NDArray[np.float32]:
        """(n, width) float32 of a table with the columns of LINES, made batch by batch."""
        batches = lines.combine_chunks().to_batches(max_chunksize=batch_rows)
        parts: Sequence[NDArray[np.float32]] = [self.matrix(batch) for batch in batches]
        return np.concatenate(parts) if parts else np.empty((0, self.width), dtype=np.float32)

    def embedding_of(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, d) float32, the columns of a matrix that are the lines' embeddings."""
        first = len(self.maker.feature_names)
        return matrix[:, first : first + int(self.embedder.dim)]

    def save(self, folder: Path) -> None:
        """Write maker and embedder into `folder`, which is then complete by itself.

        An embedder that lies in a folder is copied; a sentence-transformers model is saved by name, and loading it
        needs the extra `st` and that model.

        Raises:
            CmdclfError: the embedder's files can't be found.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "features").mkdir(exist_ok=True)
        self.maker.save(folder / "features")
        source = self._embedder_source()
        if isinstance(source, Path):
            shutil.copytree(source, folder / "embedder", ignore=shutil.ignore_patterns("*.md", ".*", "__pycache__"))
        if self.grams is not None:
            self.grams.save(folder)
        settings = {
            "grams": self.grams is not None,
            "embedder": "embedder" if isinstance(source, Path) else source,
            "embedder_name": self.embedder.name,
            "width": self.width,
        }
        (folder / _SETTINGS).write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Featuriser:
        """The featuriser that `save` wrote.

        Raises:
            ModelIntegrityError: the embedder or the width is another one than that of the saved featuriser.
        """
        from cmdclf.features import FeatureMaker, load_embedder

        path = folder / _SETTINGS
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
            source, name, width = settings["embedder"], settings["embedder_name"], settings["width"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelIntegrityError(
                f"it can't be read ({type(error).__name__})", file=path, remedy="Export the model again"
            ) from error
        where = folder / "embedder" if source == "embedder" else source
        embedder = load_embedder(where)
        grams = None
        if settings.get("grams"):
            from cmdclf.classify.grams import GramModel

            grams = GramModel.load(folder)
        loaded = cls(FeatureMaker.load(folder / "features"), embedder, embedder_source=where, grams=grams)
        if width != loaded.width:
            raise ModelIntegrityError(
                f"the model was trained on {width} columns, this installation makes {loaded.width} ({name})",
                file=path,
                remedy="Use the cmdclf version that exported the model, or export it again with this one",
            )
        return loaded

    def _embedder_source(self) -> Path | str:
        """A folder to copy, or a name for `load_embedder`."""
        from cmdclf.resources import data_path

        source = self.embedder_source or getattr(self.embedder, "folder", None)
        if source is None and self.embedder.name.startswith("st:"):
            source = self.embedder.name
        if source is None and self.embedder.name == _bundled_name():
            source = "bundled"
        if source is None:
            raise CmdclfError(
                f"the files of the embedder '{self.embedder.name}' are not known, so the model can't be made complete",
                remedy="Give Featuriser the embedder_source that load_embedder was given",
            )
        if str(source).startswith("st:"):
            return str(source)
        folder = data_path("embedder") if source == "bundled" else Path(source)
        if not folder.is_dir():
            raise CmdclfError(
                "the embedder's folder is missing", file=folder, remedy="Put it back, or export elsewhere"
            )
        return folder


def _decoded(batch: pa.RecordBatch) -> tuple[DecodedBatch, pa.StringArray]:
    """The layers of a LINES batch's lines, and the lines with what they hide in its place."""
    text = batch.column("command_line").cast(pa.string())
    if "platform" not in batch.schema.names or batch.column("platform").null_count or text.null_count:
        decoded = decode_batch(text, batch.column("platform") if "platform" in batch.schema.names else None)
        return decoded, with_layers(text)
    platform = batch.column("platform")
    decoded = decode_batch(text, platform)
    return decoded, with_layers(text, decoded_as_guessed(text, platform, decoded))


def _bundled_name() -> str | None:
    from cmdclf.resources import data_path

    path = data_path("embedder", "manifest.json")
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError):
        return None
