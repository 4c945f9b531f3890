"""`study.toml`: what one reproducible run consists of, read strictly."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from cmdclf.errors import StudyError

__all__ = ["ARMS", "BASELINES", "Data", "Full", "Labels", "Model", "Reduced", "StudyConfig", "load_study"]

Baseline = Literal["rb", "ab"]
Arm = Literal["base", "full", "reduced", "combined", "random", "mined"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
ARMS: tuple[Arm, ...] = get_args(Arm)
_JUDGES = ("recorded", "truth", "openai")
#: Keys that take a path or the name of something bundled, and the names that are never taken for a path.
_NAMES_OR_PATHS = ("model.rules", "reduced.embedder")
_BUNDLED = ("baseline", "bundled")


@dataclass(frozen=True, slots=True)
class Data:
    """Where events come from and how the days are split: the first `train_days` teach, the next `test_days` test."""

    lake: Path
    train_days: int
    test_days: int
    incident: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Full:
    """Full scale: isolation forest on hand-engineered features of every distinct line of a day."""

    top_k: int = 500
    n_estimators: int = 100
    max_samples: int = 256
    sample_rows: int = 100_000


@dataclass(frozen=True, slots=True)
class Reduced:
    """Reduced scale: k-means distance and PCA reconstruction on embeddings of a day's sample."""

    sample: int = 4000
    top_k: int = 200
    n_clusters: int = 64
    n_components: float = 0.95
    embedder: str = "bundled"


@dataclass(frozen=True, slots=True)
class Labels:
    """Who judges, how many lines each arm may ask for, and how the mined arm asks.

    `judge` is `recorded` (the file `recorded`, lines in column `text`, matched as `match` says), `truth` (the file
    `truth`, a share `noise` of its verdicts flipped) or `openai` (any OpenAI-compatible server, by the `api` chat or
    responses; with a `second_model` only what both call benign is benign). The mined arm spends the
    share `audit` on hits of the rules, then asks in `rounds`, retraining in between, among the anomalies and a draw of
    `mined_pool` distinct lines.
    """

    judge: str = "recorded"
    budget: int = 1000
    rounds: int = 4
    audit: float = 0.1
    mined_pool: int = 200_000
    recorded: Path | None = None
    text: str = "command_line"
    match: str = "exact"
    truth: Path | None = None
    noise: float = 0.0
    model: str = ""
    second_model: str = ""
    api: str = "chat"
    base_url: str = ""
    effort: str = ""
    budget_usd: float = 0.0
    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0
    usd_per_million_cached: float = -1.0
    concurrency: int = 8


@dataclass(frozen=True, slots=True)
class Model:
    """Baselines and classifier: what counts as a label, and which arm is exported.

    The mined arm also learns from `lexicon_lines` lines of each of the bundled lexicon's templates.
    """

    rules: str = "baseline"
    labelled: tuple[Path, ...] = ()
    benign_min_events: int = 3
    benign_max_length: int = 100
    max_benign: int = 10_000
    max_malicious: int = 10_000
    added_weight: float = 1.0
    lexicon_lines: int = 1
    max_iter: int = 200
    learning_rate: float = 0.05
    max_leaf_nodes: int = 8
    min_samples_leaf: int = 40
    l2_regularization: float = 10.0
    max_features: float = 0.2
    folds: int = 2
    grams: bool = True
    export: str = "ab+mined"


@dataclass(frozen=True, slots=True)
class StudyConfig:
    """One study. All paths are absolute; every field has gone through `load_study`'s checks."""

    name: str
    file: Path
    data: Data
    full: Full = field(default_factory=Full)
    reduced: Reduced = field(default_factory=Reduced)
    labels: Labels = field(default_factory=Labels)
    model: Model = field(default_factory=Model)
    threshold_cosine: float | None = None
    baselines: tuple[Baseline, ...] = BASELINES
    arms: tuple[Arm, ...] = ARMS
    seeds: tuple[int, ...] = (0,)
    bootstrap: int = 1000


_AT_LEAST_ONE = {
    "full": ("top_k", "n_estimators", "max_samples", "sample_rows"),
    "reduced": ("sample", "top_k", "n_clusters"),
    "labels": ("concurrency",),
    "model": ("max_benign", "max_malicious", "max_iter", "folds"),
}
_SECTIONS: dict[str, type[Any]] = {
    "data": Data,
    "full": Full,
    "reduced": Reduced,
    "labels": Labels,
    "model": Model,
}


def load_study(path: str | Path) -> StudyConfig:
    """The study that a TOML file describes, with paths taken relative to that file.

    Raises:
        StudyError: the file or one that it names is missing, a key is unknown or has the wrong type, or a value is
            impossible. The message names the key.
    """
    file = Path(path).resolve()
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StudyError("the study file does not exist", file=path, remedy="Check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"it is not valid TOML: {error}", file=path, remedy="Mend the line that it names") from error
    reader = _Reader(file)
    study = reader.table(raw, "study")
    unknown = set(raw) - {"study", *_SECTIONS}
    if unknown:
        raise reader.error(f"unknown section [{sorted(unknown)[0]}]", f"Known: study, {', '.join(_SECTIONS)}")
    sections = {name: reader.section(raw, name, kind) for name, kind in _SECTIONS.items()}
    known = {"name", "threshold_cosine", "baselines", "arms", "seeds", "bootstrap"}
    reader.only(study, known, "study")
    config = StudyConfig(
        name=reader.value("study.name", study.get("name", file.stem), "str"),
        file=file,
        **sections,
        threshold_cosine=study.get("threshold_cosine"),
        baselines=reader.choice(study, "baselines", BASELINES),
        arms=reader.choice(study, "arms", ARMS),
        seeds=reader.whole_numbers("study.seeds", study.get("seeds", [0])),
        bootstrap=reader.value("study.bootstrap", study.get("bootstrap", 1000), "int"),
    )
    _check(config, reader)
    return config


class _Reader:
    def __init__(self, file: Path) -> None:
        self.file = file

    def error(self, message: str, remedy: str) -> StudyError:
        return StudyError(message, remedy=remedy, file=self.file)

    def table(self, raw: dict[str, Any], name: str) -> dict[str, Any]:
        value = raw.get(name, {})
        if not isinstance(value, dict):
            raise self.error(f"'{name}' must be a section", f"Write it as [{name}]")
        return value

    def only(self, values: dict[str, Any], known: set[str], section: str) -> None:
        unknown = sorted(set(values) - known)
        if unknown:
            raise self.error(f"unknown key '{unknown[0]}' in [{section}]", f"Known: {', '.join(sorted(known))}")

    def section(self, raw: dict[str, Any], name: str, kind: type[Any]) -> Any:
        values = self.table(raw, name)
        fields = {f.name: f for f in dataclasses.fields(kind)}
        self.only(values, set(fields), name)
        missing = [
            f.name for f in fields.values()
            if f.name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]  # fmt: skip
        if missing:
            raise self.error(f"[{name}] lacks '{missing[0]}'", f"Add {missing[0]} = ... to [{name}]")
        return kind(**{key: self.value(f"{name}.{key}", value, str(fields[key].type)) for key, value in values.items()})

    def value(self, key: str, value: Any, kind: str) -> Any:
        """One value, checked against the field's annotation; paths become absolute and must exist."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind == "bool" and isinstance(value, bool):
            return value
        if kind == "int" and isinstance(value, int) and number:
            return value
        if kind == "float" and number:
            return float(value)
        if kind == "str" and isinstance(value, str):
            return self.name_or_path(value) if key in _NAMES_OR_PATHS else value
        if kind.startswith("Path") and isinstance(value, str):
            return self.path(key, value)
        if kind.startswith("tuple[Path"):
            names = [value] if isinstance(value, str) else value
            if isinstance(names, list) and all(isinstance(n, str) for n in names):
                return tuple(self.path(key, n) for n in names)
        raise self.error(f"{key} = {value!r} has the wrong type", f"It must be: {kind}")

    def name_or_path(self, value: str) -> str:
        """A bundled thing's name as it is; a path that exists beside the study file as an absolute one."""
        path = (self.file.parent / value).resolve()
        return str(path) if value not in _BUNDLED and path.exists() else value

    def path(self, key: str, value: str) -> Path:
        path = (self.file.parent / value).resolve()
        if not path.exists():
            raise self.error(f"{key} names '{value}', which does not exist", f"Looked for {path}")
        return path

    def whole_numbers(self, key: str, values: Any) -> tuple[int, ...]:
        good = isinstance(values, list) and bool(values) and all(type(v) is int and v >= 0 for v in values)
        if not good or len(set(values)) < len(values):
            raise self.error(
                f"{key} = {values!r} must be a list of different whole numbers", "For example seeds = [0, 1, 2]"
            )
        return tuple(values)

    def choice(self, study: dict[str, Any], key: str, known: tuple[Any, ...]) -> tuple[Any, ...]:
        values = study.get(key, list(known))
        wrong = [v for v in values if v not in known] if isinstance(values, list) else [values]
        if wrong or not values:
            raise self.error(f"study.{key} = {values!r} is not possible", f"Choose from: {', '.join(known)}")
        # In their fixed order, whatever the file's order: same study, same bytes.
        return tuple(k for k in known if k in values)


def _check(c: StudyConfig, reader: _Reader) -> None:
    def need(good: bool, message: str, remedy: str) -> None:
        if not good:
            raise reader.error(message, remedy)

    need(c.data.train_days >= 1, "data.train_days must be at least 1", "Give the number of training days")
    need(c.data.test_days >= 1, "data.test_days must be at least 1", "Give the number of days of the time-split test")
    need(
        c.labels.judge in _JUDGES, f"labels.judge = '{c.labels.judge}' is unknown", f"Choose from: {', '.join(_JUDGES)}"
    )
    need(c.labels.budget >= 1, "labels.budget must be at least 1", "Give the number of lines that an arm may ask for")
    need(c.labels.rounds >= 1, "labels.rounds must be at least 1", "One round asks for the whole budget at once")
    need(0 <= c.labels.noise <= 1, "labels.noise must be between 0 and 1", "It is the share of verdicts to flip")
    need(0 <= c.labels.audit < 1, "labels.audit must be at least 0 and below 1", "It is a share of the budget")
    need(c.model.lexicon_lines >= 0, "model.lexicon_lines must not be negative", "0: the mined arm starts without it")
    need(c.labels.mined_pool >= 0, "labels.mined_pool must not be negative", "0 looks at the anomalies alone")
    need(c.bootstrap >= 1, "study.bootstrap must be at least 1", "1000 is usual")
    for section, keys in _AT_LEAST_ONE.items():
        for key in keys:
            need(
                getattr(getattr(c, section), key) >= 1,
                f"{section}.{key} must be at least 1",
                "Leave it out for the default",
            )
    need(c.reduced.n_components > 0, "reduced.n_components must be above 0", "Below 1 it is the share of variance kept")
    need(c.model.added_weight > 0, "model.added_weight must be above 0", "Leave it out for the default")
    need(c.labels.match in ("exact", "masked"), "labels.match must be 'exact' or 'masked'", "Mend it")
    need(
        c.labels.judge != "truth" or c.labels.truth is not None,
        "labels.judge = 'truth' needs labels.truth",
        "Name the truth file that 'cmdclf replay' wrote beside the lake",
    )
    need(
        c.labels.judge != "recorded" or c.labels.recorded is not None,
        "labels.judge = 'recorded' needs labels.recorded",
        "Name the Parquet file of recorded verdicts",
    )
    need(c.labels.api in ("chat", "responses"), f"labels.api = '{c.labels.api}' is unknown", "Choose chat or responses")
    need(
        c.labels.judge != "openai" or bool(c.labels.model),
        "labels.judge = 'openai' needs labels.model",
        "Name the model, as the server lists it",
    )
    exported = [f"{b}+{a}" if a != "base" else b for b in c.baselines for a in c.arms]
    need(
        c.model.export in exported,
        f"model.export = '{c.model.export}' is not an arm of this study",
        f"Arms: {', '.join(exported)}",
    )
    need(
        c.threshold_cosine is None or (isinstance(c.threshold_cosine, int | float) and 0 < c.threshold_cosine <= 1),
        "study.threshold_cosine must be above 0 and at most 1",
        "Leave it out to take the embedder's own",
    )
