"""The hand-engineered features: characters, words, rarity, behavioural checks, platform, and what a line hides."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.errors import ModelIntegrityError, RuleError
from cmdclf.features._columns import COLUMNS, SOURCES
from cmdclf.rules import RuleSet
from cmdclf.rules.buffers import as_string_array, string_buffers
from cmdclf.rules.platforms import platform_bits
from cmdclf.telemetry import PLATFORMS

if TYPE_CHECKING:
    from cmdclf.features.hidden import Hidden
    from cmdclf.lines import DecodedBatch

__all__ = ["FEATURE_VERSION", "Feature", "FeatureMaker"]

#: Changes whenever a column's meaning or order changes; a model folder of another version is refused.
FEATURE_VERSION = "2"

_MANIFEST, _RULES = "features.json", "behaviours.json"
_COUNTS = ("words", "pairs", "characters")
_OURS = "ours"
#: Rows whose part of the matrix stays in the processor's cache from one kernel to the next.
_BLOCK = 2048


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the matrix."""

    name: str
    meaning: str
    source: str
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class _Places:
    """The first column of each group after the kernels', and the number of each check's category."""

    category: npt.NDArray[np.int64]
    checks: int
    counts: int
    platforms: int
    hidden: int
    hidden_counts: int
    end: int


class FeatureMaker:
    """Hand-engineered features of command lines: a LINES batch in, float32 columns out.

    Follows scikit-learn (`fit`, `transform`, `get_params`) without importing it, so that scoring starts fast. `fit`
    streams over batches and learns only how common tokens and characters are (about 2 MiB at the default size); rows
    never influence each other, so a batch gives the same bits as its rows one by one.

    >>> maker = FeatureMaker().fit([batch])
    >>> maker.matrix(batch).shape
    (65536, 308)

    Args:
        buckets: size of the hashed token counts, a power of two.
        behaviours: the behavioural checks: a RuleSet, a rule file, or the name of a bundled set.
    """

    def __init__(self, *, buckets: int = 2**18, behaviours: RuleSet | str | Path = "behaviours") -> None:
        self.buckets = buckets
        self.behaviours = behaviours
        self._rules: RuleSet | None = None
        self._layout: tuple[RuleSet, _Places, list[str]] | None = None

    # ------------------------------------------------------------------ learning

    def fit(
        self, batches: Iterable[pa.RecordBatch | pa.Table] | pa.RecordBatch | pa.Table, y: Any = None
    ) -> FeatureMaker:
        """Count the tokens of all batches (LINES; only `command_line` is read), from nothing; returns self."""
        from cmdclf.features.rarity import Rarity

        rarity = Rarity(self.buckets)
        for batch in [batches] if isinstance(batches, pa.RecordBatch | pa.Table) else batches:
            rarity.add(*string_buffers(as_string_array(batch["command_line"])))
        self.rarity_ = rarity
        return self

    # ------------------------------------------------------------------ measuring

    def matrix(
        self, batch: pa.RecordBatch | pa.Table, decoded: DecodedBatch | None = None, *, more: int = 0
    ) -> npt.NDArray[np.float32]:
        """`(n, len(feature_names)) float32`, C-contiguous and finite, one row per line of the LINES batch.

        A null line counts as empty. `platform` may be missing or null: the platform's columns are then 0, the checks
        of all platforms apply, and decoding goes by a guess. A check is 1 where it matches the line or a decoded layer.
        `decoded` is what `decode_batch` gives for the batch's lines and platforms, where the caller has it already.
        `more` columns of zeros stand at the end, for the caller to fill.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.

        Cost: about 3 µs of one core a line of 100 bytes (benchmarks/features.py), some 0.1 ms more for a line that
        hides something, and 0.1 ms a batch for each check with many candidates, whose pattern RE2 compiles anew (those
        for few are kept compiled): prefer batches of thousands. 4 bytes a value of memory.
        """
        from cmdclf.features._checks import put_matches, put_platforms
        from cmdclf.features._kernels import measure
        from cmdclf.features.hidden import find_hidden, measure_hidden

        if not self.__sklearn_is_fitted__():
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this FeatureMaker is not fitted yet: call fit or load first")
        lines = as_string_array(batch["command_line"])
        platform = as_string_array(batch["platform"]) if "platform" in batch.schema.names else None
        rules, place, _ = self._laid_out()
        out = np.zeros((len(lines), place.end + more), np.float32)
        offsets, data = string_buffers(lines)
        for at in range(0, len(lines), _BLOCK):
            part, into = offsets[at : at + _BLOCK + 1], out[at : at + _BLOCK]
            measure(part, data, into)
            self.rarity_.measure(part, data, into)
        if platform is not None:
            put_platforms(platform_bits(platform), out, place.platforms, len(PLATFORMS))
        hidden = find_hidden(lines, platform, decoded)
        measure_hidden(hidden, self.rarity_, out, place.hidden)
        # Lines and layers together, since RE2 compiles its patterns at each call.
        row, check = rules.pairs(*_appended(lines, platform, hidden))
        own = row < len(lines)
        put_matches(row[own], check[own], place.category, out, place.checks, place.counts, -1)
        row, check = hidden.row[row[~own] - len(lines)], check[~own]
        put_matches(row, check, place.category, out, place.checks, place.counts, place.hidden_counts)
        return out

    def transform(self, batch: pa.RecordBatch | pa.Table) -> pa.RecordBatch:
        """The matrix as a record batch with a float32 column per feature, in the order of `feature_names`."""
        columns = np.ascontiguousarray(self.matrix(batch).T)
        return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names=self.feature_names)

    def fit_transform(self, batch: pa.RecordBatch | pa.Table, y: Any = None) -> pa.RecordBatch:
        """`fit` on the one batch, then its `transform`."""
        return self.fit(batch).transform(batch)

    # ------------------------------------------------------------------ names

    @property
    def rules(self) -> RuleSet:
        """The behavioural checks, loaded at first use."""
        if self._rules is None:
            given = self.behaviours
            self._rules = given if isinstance(given, RuleSet) else RuleSet.load(given)
        return self._rules

    def describe(self) -> list[Feature]:
        """What each column is, in the matrix's order."""
        from cmdclf.features.hidden import HIDDEN

        features = [Feature(name, meaning, SOURCES[name]) for name, meaning in COLUMNS]
        features += [
            Feature(
                f"check_{rule.id}", rule.title, " ".join(("ours; ATT&CK", *rule.technique)) if rule.technique else _OURS
            )
            for rule in self.rules.rules
        ]
        categories = list(dict.fromkeys(rule.category for rule in self.rules.rules))
        features += [
            Feature(f"checks_{name}", f"behavioural checks of {name} that match", _OURS) for name in categories
        ]
        features.append(Feature("checks_total", "behavioural checks that match", _OURS))
        features += [Feature(f"platform_{name}", f"1 where the platform is {name}", _OURS) for name in PLATFORMS]
        features += [Feature(name, meaning, _OURS) for name, meaning in HIDDEN]
        features += [
            Feature(f"hidden_checks_{name}", f"checks of {name} that match in a decoded layer only", _OURS)
            for name in categories
        ]
        features.append(Feature("hidden_checks_total", "checks that match in a decoded layer only", _OURS))
        return features

    @property
    def feature_names(self) -> list[str]:
        """The columns' names, in the matrix's order."""
        return list(self._laid_out()[2])

    @property
    def width(self) -> int:
        """How many columns the matrix has."""
        return self._laid_out()[1].end

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """`feature_names` as scikit-learn asks for them."""
        return np.array(self.feature_names, dtype=object)

    def _laid_out(self) -> tuple[RuleSet, _Places, list[str]]:
        """The checks, the groups' places and the columns' names: made once, since a line takes less than they do."""
        if self._layout is None:
            self._layout = self.rules, self._places(), [feature.name for feature in self.describe()]
        return self._layout

    def _places(self) -> _Places:
        from cmdclf.features.hidden import HIDDEN

        categories = list(dict.fromkeys(rule.category for rule in self.rules.rules))
        checks = len(COLUMNS)
        counts = checks + len(self.rules)
        platforms = counts + len(categories) + 1
        hidden = platforms + len(PLATFORMS)
        hidden_counts = hidden + len(HIDDEN)
        return _Places(
            category=np.array([categories.index(rule.category) for rule in self.rules.rules], np.int64),
            checks=checks,
            counts=counts,
            platforms=platforms,
            hidden=hidden,
            hidden_counts=hidden_counts,
            end=hidden_counts + len(categories) + 1,
        )

    # ------------------------------------------------------------------ scikit-learn's contract

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"buckets": self.buckets, "behaviours": self.behaviours}

    def set_params(self, **params: Any) -> FeatureMaker:
        """Set constructor arguments; what was fitted stays until the next `fit`."""
        for name, value in params.items():
            if name not in self.get_params():
                raise ValueError(f"FeatureMaker has no parameter '{name}'")
            setattr(self, name, value)
        self._rules = self._layout = None
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "rarity_")

    # ------------------------------------------------------------------ files

    def save(self, folder: str | Path) -> list[Path]:
        """Write what `load` needs into the folder (made if missing) and return the files: JSON and NPY, no pickle.

        The behavioural checks go along, so that a newer version of the bundled ones doesn't change an old model.
        """
        if not self.__sklearn_is_fitted__():
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this FeatureMaker is not fitted yet: there is nothing to save")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / _MANIFEST, folder / _RULES]
        manifest = {
            "feature_version": FEATURE_VERSION,
            "behaviours_version": self.rules.version,
            "buckets": self.buckets,
            "columns": self.feature_names,
        }
        paths[0].write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        self.rules.save(paths[1])
        for name, values in self.rarity_.arrays().items():
            paths.append(folder / f"{name}.npy")
            np.save(paths[-1], values, allow_pickle=False)
        return paths

    @classmethod
    def load(cls, folder: str | Path) -> FeatureMaker:
        """The maker that `save` wrote.

        Raises:
            ModelIntegrityError: a file is missing or damaged, or belongs to another feature version.
        """
        from cmdclf.features.rarity import Rarity

        folder = Path(folder)
        manifest = _read_manifest(folder / _MANIFEST)
        arrays = {}
        for name in _COUNTS:
            path = folder / f"{name}.npy"
            try:
                arrays[name] = np.load(path, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise ModelIntegrityError(f"can't be read: {error}", remedy=_REMEDY, file=path) from error
        try:
            rarity = Rarity.from_arrays(arrays)
        except ValueError as error:
            raise ModelIntegrityError(str(error), remedy=_REMEDY, file=folder) from error
        try:
            rules = RuleSet.load(folder / _RULES)
        except (RuleError, OSError) as error:
            raise ModelIntegrityError(f"can't be read: {error}", remedy=_REMEDY, file=folder / _RULES) from error
        maker = cls(buckets=rarity.buckets, behaviours=rules)
        if maker.rules.version != manifest["behaviours_version"] or maker.feature_names != manifest["columns"]:
            raise ModelIntegrityError("checks or columns are not those of the manifest", remedy=_REMEDY, file=folder)
        maker.rarity_ = rarity
        return maker


def _appended(lines: pa.Array, platform: pa.Array | None, hidden: Hidden) -> tuple[pa.Array, pa.Array | None]:
    """The lines followed by the hidden layers, each with its line's platform."""
    if hidden.row.size == 0:
        return lines, platform
    if pa.types.is_string(lines.type) and lines.nbytes + hidden.text.nbytes > 2**31 - 1:
        lines = lines.cast(pa.large_string())
    text = pa.concat_arrays([lines, hidden.text.cast(lines.type)])
    return text, None if platform is None else pa.concat_arrays([platform, platform.take(pa.array(hidden.row))])


_REMEDY = "Export the model again, or get a complete copy of its folder"


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["feature_version"]
        manifest["behaviours_version"], manifest["columns"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelIntegrityError(f"not a feature manifest: {error}", remedy=_REMEDY, file=path) from error
    if version != FEATURE_VERSION:
        raise ModelIntegrityError(
            f"feature version {version} is not this installation's {FEATURE_VERSION}",
            remedy="Train the model again, or install the cmdclf version that made it",
            file=path,
        )
    return dict(manifest)
