"""Every model fitted fold by fold, and what it says of each line that it did not see."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

import numpy as np
from _classifier_cache import Cache
from _classifier_folds import Batch, Corpus, Protocol
from _classifier_models import BLEND_OF, TREES_SHARE, Model, Spec
from _labelled_lines import FOLDS

from cmdclf.classify.grams import _KINDS, GRAMS_VERSION

__all__ = ["Extra", "Scored", "score_all"]

#: Changes when a model's code would give other scores from the same settings.
_VERSION = f"2 {GRAMS_VERSION} {[(k.name, k.bits, k.length) for k in _KINDS]}"


@dataclass
class Extra:
    """Lines beside the pools that models score.

    Attributes:
        corpus: the lines.
        fold: (n,) the fold whose model scores the line; -1: every fold's.
        robust: only models whose robustness is measured score them.
    """

    corpus: Corpus
    fold: np.ndarray
    robust: bool = False

    def rows(self, k: int) -> np.ndarray:
        """The rows that the k-th fold's model scores."""
        return np.flatnonzero((self.fold == k) | (self.fold == -1))


@dataclass
class Scored:
    """What one model says.

    Attributes:
        pool: (n,) scores of the pool's lines by the model of their fold; NaN where not judged.
        extra: name -> (FOLDS, n) scores; NaN where the fold's model doesn't score the line.
        seconds: of fitting, all folds; 0 where kept from an earlier run.
    """

    pool: np.ndarray
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0


def score_all(protocol: Protocol, specs: dict[str, Spec], extras: dict[str, Extra], cache: Cache) -> dict[str, Scored]:
    """The scores of these models; those that a blend needs must be among them, before it."""
    out: dict[str, Scored] = {}
    for name, spec in specs.items():
        if spec.make is None:
            out[name] = blended(out[BLEND_OF[0]], out[BLEND_OF[1]])
            continue
        out[name] = _scored(protocol, name, spec, extras, cache)
        print(f"{name}: {out[name].seconds:.0f} s of fitting", file=sys.stderr, flush=True)
    return out


def blended(grams: Scored, trees: Scored) -> Scored:
    """The blend of two models."""
    extra = {n: grams.extra[n] + TREES_SHARE * trees.extra[n] for n in grams.extra if n in trees.extra}
    return Scored(grams.pool + TREES_SHARE * trees.pool, extra)


def _scored(protocol: Protocol, name: str, spec: Spec, extras: dict[str, Extra], cache: Cache) -> Scored:
    asked = {n: e for n, e in extras.items() if spec.robust or not e.robust}
    scored = Scored(np.full(len(protocol.pool), np.nan))
    scored.extra = {n: np.full((FOLDS, len(e.corpus)), np.nan) for n, e in asked.items()}
    for k in range(FOLDS):
        parts = {"": (protocol.corpus, protocol.tested(k))} | {n: (e.corpus, e.rows(k)) for n, e in asked.items()}
        base = f"{_VERSION} {name} {spec.training} {protocol.key} {k}{spec.version}"
        marks = " ".join(f"{n} {e.corpus.fingerprint}" for n, e in sorted(asked.items()))
        held = cache.arrays(f"scores {base} {marks}")
        if held is None:
            start = time.process_time()
            model = _fitted(protocol, spec, k, base, cache)
            scored.seconds += time.process_time() - start
            held = {f"of {n}": model.scores(Batch([part])) for n, part in parts.items() if len(part[1])}
            cache.put(f"scores {base} {marks}", **held)
        for n, (_, rows) in parts.items():
            if len(rows):
                (scored.pool if n == "" else scored.extra[n][k])[rows] = held[f"of {n}"]
    return scored


def _fitted(protocol: Protocol, spec: Spec, k: int, base: str, cache: Cache) -> Model:
    model = spec.make()
    if (arrays := cache.arrays(f"model {base}")) is not None:
        return model.restore(arrays)
    batch, malicious, groups = protocol.training(k, spec.training)
    if spec.training.doubted:
        model.doubted = protocol.doubted(k)
    model.fit(batch, malicious, groups)
    if (arrays := model.arrays()) is not None:
        cache.put(f"model {base}", **arrays)
    return model
