"""What a day has learnt of itself at full scale: how common its tokens are, and the forest grown on its sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.detect.day import FIT_ROWS, SmallestIds
from cmdclf.detect.flatforest import FlatForest
from cmdclf.detect.forest import IsolationForestDetector
from cmdclf.errors import ModelIntegrityError
from cmdclf.features import FeatureMaker
from cmdclf.features.rarity import Rarity

__all__ = ["FOREST", "DayModel", "EmptyDayError", "count_lines"]

#: The detector's name in DETECTED.
FOREST = "isolation_forest"

_FEATURES, _FOREST_FOLDER = "features", "forest"
_FIT_BATCH = 16_384


class EmptyDayError(ValueError):
    """There is no line that a model could be fitted on."""


class DayModel:
    """Scores lines against the day that it was fitted on.

    The rules that make results equal wherever they are computed: the counts are over each distinct line once; the
    forest is grown on the lines with the smallest command_ids (`SmallestIds`); a line's score depends on nothing but
    the line and the model; ties are ordered by command_id (`TopK`).

    Args:
        maker: makes the features; `fit` gives it the day's counts.
        forest: the detector; a `FlatForest` that was loaded can score, but not be fitted.
    """

    def __init__(self, maker: FeatureMaker, forest: IsolationForestDetector | FlatForest) -> None:
        self.maker = maker
        self.forest = forest

    def fit(self, sample_lines: pa.Table, rarity: Rarity) -> Self:
        """Grow the forest.

        Args:
            sample_lines: LINES with the smallest command_ids of the day, in their order; at least one.
            rarity: the counts of all of the day's lines.
        """
        if isinstance(self.forest, FlatForest):
            raise TypeError("a model that was loaded can't be fitted again: begin with an IsolationForestDetector")
        self.maker.rarity_ = rarity
        matrix = np.empty((sample_lines.num_rows, len(self.maker.feature_names)), np.float32)
        at = 0
        for batch in sample_lines.to_batches(max_chunksize=_FIT_BATCH):
            matrix[at : at + batch.num_rows] = self.maker.matrix(batch)
            at += batch.num_rows
        self.forest.fit(matrix)
        return self

    def fit_lines(self, lines: Iterable[pa.RecordBatch], fit_rows: int = FIT_ROWS) -> Self:
        """`fit` on a day that is read once, in one stream.

        Raises:
            EmptyDayError: there is no line.
        """
        smallest = SmallestIds(fit_rows)
        rarity = count_lines(lines, self.maker, smallest)
        sample = smallest.table()
        if not sample.num_rows:
            raise EmptyDayError("a day without lines has no model")
        return self.fit(sample, rarity)

    def score(self, batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
        """(n,) float64, higher = more anomalous; one score per line of the LINES batch."""
        return self.forest.score_samples(self.maker.matrix(batch))

    def scores(self, batch: pa.RecordBatch) -> dict[str, npt.NDArray[np.float64]]:
        """`score` under the detector's name, as `top_scores` takes it."""
        return {FOREST: self.score(batch)}

    def save(self, folder: str | Path) -> None:
        """Write what `load` needs into the folder (made if missing): JSON and NPY, no pickle."""
        folder = Path(folder)
        self.maker.save(folder / _FEATURES)
        (folder / _FOREST_FOLDER).mkdir(exist_ok=True)
        for name, values in self.forest.arrays().items():
            np.save(folder / _FOREST_FOLDER / f"{name}.npy", values, allow_pickle=False)

    @classmethod
    def load(cls, folder: str | Path) -> DayModel:
        """The model that `save` wrote; its scores are the same to the bit.

        Raises:
            ModelIntegrityError: a file is missing or damaged, or belongs to another feature version.
        """
        folder = Path(folder)
        maker = FeatureMaker.load(folder / _FEATURES)
        try:
            arrays = {
                path.stem: np.load(path, allow_pickle=False) for path in sorted((folder / _FOREST_FOLDER).glob("*.npy"))
            }
            forest = FlatForest.from_arrays(arrays)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise ModelIntegrityError(
                f"the forest can't be read: {error}", remedy="Make the model again", file=folder
            ) from error
        return cls(maker, forest)


def count_lines(lines: Iterable[pa.RecordBatch], maker: FeatureMaker, smallest: SmallestIds) -> Rarity:
    """The counts of some lines of a day, which are pushed to `smallest` on the way; `maker` only gives the settings."""

    def told() -> Iterator[pa.RecordBatch]:
        for batch in lines:
            smallest.push(batch)
            yield batch

    counted: Rarity = FeatureMaker(**maker.get_params()).fit(told()).rarity_
    return counted
