"""What a proof consists of: pools, the replayed month, rotations of held-out sources, budgets and judges' errors."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmdclf.errors import StudyError
from cmdclf.lexicon.replay import ReplaySettings

__all__ = ["ProofSettings", "Shape"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a replayed month assumes about frequent lines.

    Attributes:
        share_top: share of the distinct lines that the 100 most frequent templates hold.
        short_head: frequent lines are short ones rather than any.
    """

    share_top: float
    short_head: bool = True


@dataclass(frozen=True, slots=True)
class ProofSettings:
    """One proof.

    Attributes:
        pools: labelled Parquet files (see `ParquetPool`).
        verdicts: files of recorded verdicts on lines of the pools (see `read_verdicts`); a later one counts more. The
            first also says which lines of the test are agreed: others may be of what arms asked about, no fair sample.
        rotations: how many disjoint parts of the sources are held out in turn; each is a month of its own.
        train_days, test_days: of the replayed month.
        per_day: events of each day.
        share_top: share of the distinct lines that the 100 most frequent templates hold.
        top_k: anomalies per day at full scale.
        sample, reduced_top_k: lines of a day at reduced scale, and anomalies of each of its two detectors.
        budget: lines that each arm may ask about.
        budgets: others, for the curves; in ascending order.
        noise: share of the judge's verdicts that are flipped, in all arms.
        noises: others.
        rounds: of mining in rounds.
        weight: of a line that a judge called benign.
        shares: other values of `share_top`, for the arms that matter.
        varied: the first so many rotations have such months.
        any_length: for these arms also a month whose frequent lines are as long as any.
        lexicon_lines: lines of each of the bundled lexicon's templates that some arms know from the start; 0: no such
            arms.
        seed: of splits, draws and resamples.
        bootstrap: resamples.
    """

    pools: tuple[Path, ...]
    verdicts: tuple[Path, ...] = ()
    rotations: int = 5
    train_days: int = 28
    test_days: int = 21
    per_day: int = 20_000
    share_top: float = 0.45
    top_k: int = 500
    sample: int = 4000
    reduced_top_k: int = 200
    budget: int = 1000
    budgets: tuple[int, ...] = (100, 300, 3000)
    noise: float = 0.01
    noises: tuple[float, ...] = (0.0, 0.02, 0.05)
    rounds: int = 4
    weight: float = 1.0
    shares: tuple[float, ...] = (0.09, 0.77)
    varied: int = 2
    any_length: bool = True
    lexicon_lines: int = 1
    seed: int = 0
    bootstrap: int = 1000

    def checked(self) -> ProofSettings:
        """The settings themselves.

        Raises:
            StudyError: one of them is impossible; it names the setting and the remedy.
        """
        for file in (*self.pools, *self.verdicts):
            if not Path(file).is_file():
                raise StudyError("there is no such file", file=file, remedy="Check the path")
        rules: tuple[tuple[str, bool, str], ...] = (
            ("pools", bool(self.pools), "Name at least one labelled Parquet file"),
            ("rotations", 2 <= self.rotations <= 20, "Take 2 to 20; each holds out that part of the sources"),
            ("train_days", self.train_days >= 1, "Give at least one day to learn from"),
            ("test_days", self.test_days >= 1, "Give at least one day to test on"),
            ("per_day", self.per_day >= 100, "Give at least 100 events a day"),
            ("budget", self.budget >= 10, "Give at least 10 lines to ask about"),
            ("budgets", all(b >= 10 for b in self.budgets), "Give at least 10 lines to ask about"),
            ("noise", 0 <= self.noise < 0.5, "It is the share of verdicts to flip"),
            ("noises", all(0 <= n < 0.5 for n in self.noises), "Each is a share of verdicts to flip"),
            ("rounds", self.rounds >= 1, "One round asks about the whole budget at once"),
            ("weight", self.weight > 0, "1 counts a judged line as any other"),
            ("share_top", 0 <= self.share_top < 1, "It is a share of the distinct lines"),
            ("shares", all(0 <= s < 1 for s in self.shares), "Each is a share of the distinct lines"),
            (
                "shares",
                len({self.share_top, *self.shares}) == 1 + len(self.shares),
                f"Name each once, and not the usual one (share_top = {self.share_top:g})",
            ),
            ("varied", 0 <= self.varied <= self.rotations, "It counts rotations"),
            ("lexicon_lines", self.lexicon_lines >= 0, "1 is enough; 0 leaves out the arms that know the lexicon"),
            ("bootstrap", self.bootstrap >= 20, "1000 is usual"),
        )
        for name, good, remedy in rules:
            if not good:
                raise StudyError(f"{name} = {getattr(self, name)!r} is impossible for a proof", remedy=remedy)
        return self

    @property
    def held_out(self) -> float:
        """The share of the sources that a rotation holds out."""
        return 1 / self.rotations

    @property
    def detailed(self) -> tuple[int, ...]:
        """The rotations on which budgets, judges and days are varied too: the first two and the last."""
        return tuple(sorted({0, 1, self.rotations - 1}))

    @property
    def usual(self) -> Shape:
        """The shape of the months that all arms are run on."""
        return Shape(self.share_top)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Other shapes."""
        if not self.varied:
            return ()
        long = (Shape(self.share_top, short_head=False),) if self.any_length else ()
        return (*(Shape(share) for share in self.shares), *long)

    def replay(self, rotation: int, shape: Shape) -> ReplaySettings:
        """The month of a rotation."""
        month = ReplaySettings(
            days=self.train_days + self.test_days, per_day=self.per_day, seed=self.seed, hold_out=self.held_out,
            rotation=rotation, share_top=shape.share_top,
        )  # fmt: skip
        return month if shape.short_head else dataclasses.replace(month, head_length=None)

    def record(self) -> dict[str, Any]:
        """The settings as plain JSON values; files by their names."""
        plain = dataclasses.asdict(self)
        plain["pools"] = [Path(p).name for p in self.pools]
        plain["detailed"] = self.detailed
        plain["verdicts"] = [Path(p).name for p in self.verdicts]
        return {key: list(v) if isinstance(v, tuple) else v for key, v in plain.items()}
