"""The models of benchmarks/classifiers.py: each is fitted on labelled lines and scores lines, higher for malicious."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from _classifier_folds import Batch, Training
from _knowledge import Knowledge
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from cmdclf.classify.featurise import Featuriser
from cmdclf.classify.gram_counts import ABILITIES, KINDS, CountedGrams, only, with_abilities
from cmdclf.classify.grams import doubled
from cmdclf.classify.model import Classifier
from cmdclf.features import FeatureMaker, load_embedder
from cmdclf.lexicon.wrappers import peel, shell_of
from cmdclf.rules import RuleSet

__all__ = ["BLEND_OF", "MODELS", "QUICK_MODELS", "Model", "Spec"]

#: Log-odds of the trees that the blend adds to those of the n-grams.
TREES_SHARE = 0.3
BLEND_OF = ("grams", "trees")


class Model:
    """A model under the protocol.

    Attributes:
        doubted: lines in doubt, and how likely each is malicious, where the model is to train on them too.
    """

    doubted: tuple[Batch, np.ndarray] | None = None

    def fit(self, lines: Batch, y: np.ndarray, groups: np.ndarray) -> Model:
        """Fit on n lines; `y` (n,) bool malicious, `groups` (n,) scripts and templates. Returns self."""
        raise NotImplementedError

    def scores(self, lines: Batch) -> np.ndarray:
        """(n,) float64."""
        raise NotImplementedError

    def arrays(self) -> dict[str, np.ndarray] | None:
        """What `restore` needs; None: this model is not kept, its scores are."""
        return None

    def restore(self, arrays: dict[str, np.ndarray]) -> Model:
        """The model whose `arrays` these are."""
        raise NotImplementedError


class Floor(Model):
    """Logistic regression on what the wrapping of a line shows: wrapper, lengths, quoting. It reads no word.

    What a pool's making gives away, it would find; a model that is no better knows nothing else.
    """

    def fit(self, lines: Batch, y: np.ndarray, groups: np.ndarray) -> Floor:
        counts, kinds = self._read(lines)
        self._edges = [np.unique(np.quantile(c, np.linspace(0, 1, 17)[1:-1])) for c in counts.T]
        usual = sorted(name for name, n in Counter(kinds).items() if n >= 20)
        self._kinds = {name: i for i, name in enumerate(usual)}
        self._model = LogisticRegression(C=1.0, class_weight="balanced", solver="newton-cholesky")
        self._model.fit(self._columns(counts, kinds), y)
        return self

    def scores(self, lines: Batch) -> np.ndarray:
        return np.asarray(self._model.decision_function(self._columns(*self._read(lines))))

    def _columns(self, counts: np.ndarray, kinds: list[str]) -> np.ndarray:
        """Each count as the interval that it lies in, and the wrapper."""
        found = [
            np.eye(len(edges) + 1, dtype=np.float32)[np.searchsorted(edges, column)]
            for edges, column in zip(self._edges, counts.T, strict=True)
        ]
        wrapper = np.eye(len(self._kinds) + 1, dtype=np.float32)[[self._kinds.get(kind, -1) for kind in kinds]]
        return np.concatenate([*found, wrapper], axis=1)

    @staticmethod
    def _read(lines: Batch) -> tuple[np.ndarray, list[str]]:
        counts, kinds = [], []
        for text in lines.text:
            inner = peel(text)
            inside = text if inner is None else inner[1]
            counts.append([len(text), len(inside), inside.count(" "), text.count('"'), text.count("'"),
                           text.count("\\"), text.count("`") + text.count("^")])  # fmt: skip
            kinds.append(_wrapper(text, inside))
        return np.array(counts, np.float64), kinds


def _wrapper(text: str, inside: str) -> str:
    """The shell's own words, without what it runs: `powershell.exe -noprofile -command`; nothing of other lines."""
    shell = shell_of(text)
    if shell is None:
        return ""
    at = text.find(inside[:20])
    # A script file, or text that was encoded: more than the shell's name would be the line itself.
    return f"{shell}, script" if at == 0 else f"{shell}, encoded" if at < 0 else text[:at].strip(" \"'").lower()


class Rules(Model):
    """How many of the bundled baseline rules a line hits; nothing is fitted."""

    def fit(self, lines: Batch, y: np.ndarray, groups: np.ndarray) -> Rules:
        return self

    def scores(self, lines: Batch) -> np.ndarray:
        table = lines.table
        rows, _ = RuleSet.bundled("baseline").pairs(table["command_line"], table["platform"])
        return np.bincount(rows, minlength=len(lines)).astype(np.float64)


class Grams(Model):
    """`cmdclf.classify.grams.GramModel`, or a part of it.

    Args:
        layers: with what a line hides before it.
        kinds: of n-grams.
        abilities: and what the line's programs can do, as words beside them.
    """

    def __init__(self, *, layers: bool = True, kinds: tuple[str, ...] = KINDS, abilities: bool = False) -> None:
        self.layers, self.kinds, self.abilities = layers, kinds, abilities

    def fit(self, lines: Batch, y: np.ndarray, groups: np.ndarray) -> Grams:
        x = self._read(lines)
        if self.doubted is None:
            self._model = self._empty().fit(x, y)
            return self
        other, (labels, weight) = self._read(self.doubted[0]), doubled(self.doubted[1])
        sure = np.r_[np.ones(len(y), bool), np.zeros(len(labels), bool)]
        x = sparse.vstack([x, other, other], format="csr")
        self._model = self._empty().fit(x, np.r_[y, labels], np.r_[np.ones(len(y)), weight], sure=sure)
        return self

    def scores(self, lines: Batch) -> np.ndarray:
        return self._model.scores(self._read(lines))

    def _empty(self) -> CountedGrams:
        return CountedGrams((*self.kinds, ABILITIES) if self.abilities else self.kinds)

    def _read(self, lines: Batch) -> sparse.csr_matrix:
        found = only(lines.counts(self.layers), self.kinds)
        return with_abilities(found, lines.abilities()) if self.abilities else found

    def arrays(self) -> dict[str, np.ndarray]:
        m = self._model
        return {
            "weights": m.weights.astype(np.float16),
            "rarity": m.rarity.astype(np.float16),
            "bias": np.array(m.bias),
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> Grams:
        m = self._model = self._empty()
        m.weights, m.rarity = arrays["weights"].astype(np.float32), arrays["rarity"].astype(np.float32)
        m.bias = float(arrays["bias"])
        return self


class Trees(Model):
    """Gradient-boosted trees on the bundled features and embedding, as log-odds.

    Args:
        abilities: so many of the abilities that training lines evoke most often are columns beside them.
        without: the columns that are left out: `embedding`, or `hidden`, those that tell what a line hides.
    """

    def __init__(self, *, abilities: int = 0, without: str = "") -> None:
        self.abilities, self.without = abilities, without

    def fit(self, lines: Batch, y: np.ndarray, groups: np.ndarray) -> Trees:
        table = lines.table
        self._featuriser = Featuriser(FeatureMaker().fit(table.to_batches()), load_embedder())
        self._trees = Classifier(
            max_iter=120, learning_rate=0.15, max_leaf_nodes=16, min_samples_leaf=40, l2_regularization=10.0,
            max_features=0.2, folds=0, random_state=0,
        )  # fmt: skip
        if self.abilities:
            often = np.argsort(-np.asarray(lines.abilities().sum(axis=0))[0], kind="stable")
            self._columns = often[: self.abilities]
        self._trees.fit(self._matrix(lines), y.astype(np.int8), groups=groups)
        return self

    def scores(self, lines: Batch) -> np.ndarray:
        return self._trees.decision_function(self._matrix(lines))

    def _matrix(self, lines: Batch) -> np.ndarray:
        found = self._featuriser.matrix_of(lines.table)
        if self.without:
            mark = {"embedding": "embedding", "hidden": "hidden_"}[self.without]
            found = found[:, [n for n, name in enumerate(self._featuriser.names) if not name.startswith(mark)]]
        return np.hstack([found, lines.abilities()[:, self._columns].toarray()]) if self.abilities else found


@dataclass(frozen=True)
class Spec:
    """A row of the table.

    Attributes:
        make: the model, not fitted; None: the blend of two others.
        training: what it is trained on.
        about: what it is, in a few words.
        robust: whether its robustness is measured.
        version: of what it reads beside the lines; kept scores of another one are not used.
    """

    make: Callable[[], Model] | None
    training: Training
    about: str
    robust: bool = False
    version: str = ""


#: Trees take sure labels alone.
_SURE, _FULL, _POOLS = Training(), Training(doubted=True), Training(renderings=0, doubted=True)
MODELS: dict[str, Spec] = {
    "floor": Spec(Floor, Training(renderings=0, clean=False), "wrapper, lengths and quoting only"),
    "rules": Spec(Rules, Training(renderings=0, clean=False), "bundled baseline rules that hit"),
    "yardstick": Spec(lambda: Grams(layers=False, kinds=("bytes",)), Training(renderings=0, clean=False),
                      "character 2- to 5-grams of pools as labelled"),
    "trees": Spec(Trees, _SURE, "gradient boosting on features and embedding", True),
    "trees, no embedding": Spec(lambda: Trees(without="embedding"), _SURE, "on features alone"),
    "trees, no layers": Spec(lambda: Trees(without="hidden"), _SURE, "without the columns of what a line hides"),
    "grams": Spec(Grams, _FULL, "n-grams of bytes and words, decoded layers, lexicon, doubtful lines both ways", True),
    "blend": Spec(None, _FULL, f"log-odds of grams + {TREES_SHARE} x those of trees", True),
    "grams, no layers": Spec(lambda: Grams(layers=False), _FULL, "without decoded layers", True),
    "grams, bytes only": Spec(lambda: Grams(kinds=("bytes",)), _FULL, "without n-grams of words"),
    "grams, words only": Spec(lambda: Grams(kinds=("words",)), _FULL, "without n-grams of bytes"),
    "grams, doubted left out": Spec(Grams, _SURE, "without lines that a verdict contradicts or leaves open"),
    "grams, confident": Spec(Grams, Training(doubted=True, confident=True),
                             "without lines that have no verdict and that n-grams confidently contradict"),
    "grams, not cleaned": Spec(Grams, Training(clean=False), "labels as they are"),
    "grams, no lexicon": Spec(Grams, _POOLS, "pools only"),
    "grams, 1/4 lexicon": Spec(Grams, Training(templates=0.25, doubted=True), "a quarter of the templates"),
    "grams, 1 rendering": Spec(Grams, Training(renderings=1, doubted=True), "one line of each template"),
    "grams, abilities": Spec(lambda: Grams(abilities=True), _FULL, "with what a line's programs can do",
                             version=Knowledge.version()),
    "trees, abilities": Spec(lambda: Trees(abilities=200), _SURE, "with what a line's programs can do",
                             version=Knowledge.version()),
    "grams, rewritten": Spec(Grams, Training(rewritten=True, doubted=True), "three lines in ten also rewritten", True),
}  # fmt: skip
QUICK_MODELS = ("floor", "rules", "yardstick", "grams", "grams, no layers")
