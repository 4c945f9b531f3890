"""What was said of lines like this one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.features import Embedder
from cmdclf.labels.labeller import standing_verdicts
from cmdclf.store import Store

__all__ = ["NEIGHBOURS", "LabelledNeighbours"]

NEIGHBOURS = pa.schema(
    [
        pa.field("cosine", pa.float64(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("judge", pa.string(), nullable=False),
        pa.field("platform", pa.string(), nullable=False),
        pa.field("command_line", pa.string(), nullable=False),
        pa.field("command_id", pa.string(), nullable=False),
    ]
)


class LabelledNeighbours:
    """The lines with a standing verdict as vectors, searched exactly.

    Args:
        store: gives verdicts and texts; it may be closed afterwards.
        embedder: makes the vectors.
        most: at most so many lines, those judged last; bounds memory (10,000 lines of 128 dimensions are 5 MB) and the
            time of a search, which grows with it.
    """

    def __init__(self, store: Store, embedder: Embedder, most: int = 50_000) -> None:
        self.embedder = embedder
        verdicts = standing_verdicts(store).sort_by([("seq", "descending")]).slice(0, most).combine_chunks()
        known = store.known_lines(verdicts["command_id"])
        at = pc.index_in(known["command_id"], value_set=verdicts["command_id"].combine_chunks())
        columns = {name: verdicts[name].take(at) for name in ("verdict", "judge")}
        self.lines = known.append_column("verdict", columns["verdict"]).append_column("judge", columns["judge"])
        self.vectors: npt.NDArray[np.float32] = embedder.embed(known["command_line"].combine_chunks())

    def nearest(self, command_line: str, platform: str, command_id: str = "", k: int = 5) -> pa.Table:
        """NEIGHBOURS: the k labelled lines of this platform with the largest cosine, without `command_id` itself."""
        other = pc.and_(pc.equal(self.lines["platform"], platform), pc.not_equal(self.lines["command_id"], command_id))
        rows = np.flatnonzero(other.to_numpy())
        if not len(rows):
            return NEIGHBOURS.empty_table()
        vector = self.embedder.embed(pa.array([command_line], pa.string()))[0]
        cosine = (self.vectors[rows] @ vector).astype(np.float64)
        best = np.lexsort((rows, -cosine))[:k]
        found = self.lines.take(pa.array(rows[best]))
        return found.append_column("cosine", pa.array(cosine[best])).select(NEIGHBOURS.names).cast(NEIGHBOURS)
