"""A folder with `model.onnx` and `tokenizer.json`: which files it holds, their SHA-256, and the seal over them.

A sealed folder has a `manifest.json` of ours: every file that the model reads stands there with its SHA-256, and the
manifest itself has one, too. An unsealed folder is read as published models come: its limits stand in `config.json`,
`sentence_bert_config.json`, `tokenizer_config.json` and `1_Pooling/config.json`, as far as these are there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cmdclf.errors import CmdclfError, ModelIntegrityError

__all__ = [
    "DEFAULT_TOKENS",
    "FORMAT",
    "MAX_TOKENS",
    "SOUND",
    "OnnxFolder",
    "is_fault",
    "opened",
    "read_folder",
    "sha256_of",
    "write_manifest",
]

FORMAT = "cmdclf-onnx-encoder"
#: Attention costs the square of this: one line of 8,192 tokens is already 67 million cells for each head.
MAX_TOKENS = 8192
DEFAULT_TOKENS = 256
MODEL_FILE, TOKENIZER_FILE, MANIFEST_FILE = "model.onnx", "tokenizer.json", "manifest.json"
_COPY = "Copy the model's files into one folder"
#: These scale by the largest activation of a whole batch, so a line's vector would depend on its neighbours.
_BATCH_SCALED = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}


@dataclass(frozen=True, slots=True)
class OnnxFolder:
    """What an encoder's folder says about itself.

    Attributes:
        path: the folder.
        name: names its vectors; it changes with whatever changes them (files, max_tokens, pooling).
        files: file -> SHA-256 of each file that the model reads.
        max_tokens: longer lines are cut there.
        pooling: what the seal says: `mean`, `cls`, `graph` (the graph pools); None without a seal.
        default_pooling: how token vectors are pooled where there is no seal: `mean`, or `cls` by `1_Pooling`.
        dim: length of a vector according to the seal, None without one.
        sealed: whether the files were compared with the digests of a manifest of ours.
        one_by_one: whether its vectors would depend on the batch, so that lines go one at a time.
        manifest: the manifest.json, empty where there is none.
    """

    path: Path
    name: str
    files: dict[str, str]
    max_tokens: int
    pooling: str | None
    default_pooling: str
    dim: int | None
    sealed: bool
    one_by_one: bool
    manifest: dict[str, Any]

    @property
    def model_file(self) -> Path:
        """The graph."""
        return self.path / MODEL_FILE

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer."""
        return self.path / TOKENIZER_FILE


def read_folder(folder: Path | str, *, settings: Mapping[str, Any] | None = None) -> OnnxFolder:
    """The folder's description, after its files were checked against its manifest, where it has one.

    Args:
        folder: with `model.onnx` and `tokenizer.json`, external data next to them.
        settings: the folder is about to be sealed with these (name, max_tokens, pooling, threshold_cosine) in place of
            its manifest's own; that one's digests are not compared.

    Raises:
        ModelIntegrityError: a file is missing, damaged, outside the folder, not sealed with the others, or differs
            from the manifest; names the file.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    sealed, stated = manifest.get("format") == FORMAT, dict(manifest.get("files", {}))
    if settings is not None:
        kept = {k: v for k, v in manifest.items() if k in ("name", "max_tokens", "pooling", "threshold_cosine")}
        manifest, sealed, stated = {**kept, **settings}, False, {}
    for file in (MODEL_FILE, TOKENIZER_FILE):
        if not (folder / file).is_file():
            inner = sorted(p.relative_to(folder) for p in folder.glob(f"*/{file}"))
            remedy = f"Copy {inner[0].as_posix()} next to the other files" if inner else _COPY
            raise ModelIntegrityError("the file is missing", file=folder / file, remedy=remedy)
    files = {}
    # What the seal names comes first: a changed graph is no longer parsed at all.
    for name in (MODEL_FILE, TOKENIZER_FILE, *sorted(stated)):
        files[name] = _verified(folder, name, stated.get(name))
    external, ops = _graph_facts(folder / MODEL_FILE)
    for name in sorted(external - files.keys()):
        files[name] = _verified(folder, name, None)
    missing = sorted(files.keys() - stated.keys()) if sealed else []
    if missing:
        raise ModelIntegrityError(
            f"its manifest has no SHA-256 for it ({', '.join(missing)})",
            file=folder / missing[0],
            remedy="Copy the folder anew, or seal it again with 'cmdclf embedder seal'",
        )
    max_tokens, pooling = _max_tokens(folder, manifest), manifest.get("pooling")
    default_pooling = pooling or _default_pooling(folder)
    identity = hashlib.sha256(json.dumps([sorted(files.items()), max_tokens, default_pooling]).encode()).hexdigest()[
        :12
    ]
    label = manifest.get("name") if sealed else None
    return OnnxFolder(
        path=folder,
        # Without the folder's name: the copy of a model inside another one is the same model.
        name=f"onnx:{label}:{identity}" if label else f"onnx:{identity}",
        files=files,
        max_tokens=max_tokens,
        pooling=pooling,
        default_pooling=default_pooling,
        dim=manifest.get("dim") if sealed else None,
        sealed=sealed,
        one_by_one=bool(ops & _BATCH_SCALED),
        manifest=manifest,
    )


def write_manifest(folder: Path, content: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Seal the folder: `manifest.json` with `content`, format, the files' digests and the manifest's own SHA-256."""
    sealed: dict[str, Any] = {**content, "format": FORMAT, "files": dict(files)}
    sealed["manifest_sha256"] = _digest(sealed)
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps(sealed, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in lower-case hex, as `sha256sum` prints it; constant memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def opened(path: Path, opener: Callable[[str], Any]) -> Any:
    """What `opener` makes of the path.

    Raises:
        ModelIntegrityError: it can't; onnx, onnxruntime and tokenizers raise bare Exceptions of their own for whatever
            is wrong with a file.
    """
    try:
        return opener(str(path))
    except BaseException as error:
        if not is_fault(error) or isinstance(error, CmdclfError):
            raise
        text = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelIntegrityError(
            f"the file can't be loaded ({text})", file=path, remedy="Copy or export the model again"
        ) from error


def is_fault(error: BaseException) -> bool:
    """Whether it is an error, not an interruption; a panic of Rust code (tokenizers) is derived from neither."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _digest(manifest: Mapping[str, Any]) -> str:
    rest = {k: v for k, v in manifest.items() if k != "manifest_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST_FILE
    manifest = _json(path)
    if manifest.get("format", FORMAT) != FORMAT:
        raise ModelIntegrityError(
            f"this is no manifest of an ONNX encoder ({str(manifest['format'])[:60]!r})",
            file=path,
            remedy="Keep each model in a folder of its own",
        )
    if "format" in manifest and manifest.get("manifest_sha256") != _digest(manifest):
        raise ModelIntegrityError(
            "the manifest differs from its own SHA-256",
            file=path,
            remedy="Copy the folder anew, or delete the manifest and seal the folder again",
        )
    faults = [key for key, sound in SOUND.items() if key in manifest and not sound(manifest[key])]
    if faults:
        raise ModelIntegrityError(
            f"its '{faults[0]}' is no value that can stand there: {str(manifest[faults[0]])[:60]!r}",
            file=path,
            remedy="Delete the manifest and seal the folder again with 'cmdclf embedder seal'",
        )
    return manifest


def _whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most


def _sound_files(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(digest, str) for digest in value.values())


#: What a setting in a manifest may be.
SOUND: dict[str, Callable[[Any], bool]] = {
    "files": _sound_files,
    "dim": lambda v: _whole(v, 1 << 20),
    "max_tokens": lambda v: _whole(v, MAX_TOKENS),
    "pooling": lambda v: v in ("mean", "cls", "graph"),
    "name": lambda v: isinstance(v, str) and 0 < len(v) <= 200 and v.isprintable(),
    "threshold_cosine": lambda v: isinstance(v, int | float) and 0 < v <= 1,
}


def _verified(folder: Path, name: str, expected: str | None) -> str:
    path, parts = folder / name, PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in name:
        raise ModelIntegrityError(f"it names a file outside its folder: {name[:200]!r}", file=folder, remedy=_COPY)
    if not path.is_file():
        raise ModelIntegrityError("the file is missing", file=path, remedy=_COPY)
    digest = sha256_of(path)
    if expected is not None and expected.lower() != digest:
        raise ModelIntegrityError(
            "the file differs from the SHA-256 in its manifest",
            file=path,
            remedy="Copy the folder anew; if you changed the file yourself, seal it again",
        )
    return digest


def _graph_facts(path: Path) -> tuple[set[str], set[str]]:
    """The files of external data that the graph names, and its operators."""
    import onnx

    model = opened(path, lambda p: onnx.load(p, load_external_data=False))
    files: set[str] = set()
    ops: set[str] = set()
    for nodes, tensors in _graphs(model):
        ops |= {node.op_type for node in nodes}
        for tensor in tensors:
            files |= {entry.value for entry in tensor.external_data if entry.key == "location"}
    return files, ops


def _graphs(model: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Nodes and tensors of the graph, its functions and the graphs inside nodes."""
    todo: list[Any] = [model.graph, *model.functions]
    while todo:
        graph = todo.pop()
        tensors = list(getattr(graph, "initializer", ()))
        for sparse in getattr(graph, "sparse_initializer", ()):
            tensors += [sparse.values, sparse.indices]
        for node in graph.node:
            for attribute in node.attribute:
                todo += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
                tensors += [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
        yield graph.node, tensors


def _max_tokens(folder: Path, manifest: Mapping[str, Any]) -> int:
    """The seal's limit, else the least of those that the model's files state: any of them is a limit."""
    if "max_tokens" in manifest:
        return int(manifest["max_tokens"])
    stated = [
        _json(folder / "config.json").get("max_position_embeddings"),
        _json(folder / "sentence_bert_config.json").get("max_seq_length"),
        # Tokenizers without a limit write 1e30 here.
        _json(folder / "tokenizer_config.json").get("model_max_length"),
    ]
    usable = [int(n) for n in stated if isinstance(n, int | float) and not isinstance(n, bool) and 1 <= n <= 1e6]
    return min(MAX_TOKENS, *usable) if usable else DEFAULT_TOKENS


def _default_pooling(folder: Path) -> str:
    path = folder / "1_Pooling" / "config.json"
    settings = _json(path)
    modes = {
        key.removeprefix("pooling_mode_") for key, on in settings.items() if key.startswith("pooling_mode_") and on
    }
    stated = settings.get("pooling_mode")
    if stated:
        modes = {str(mode) for mode in (stated if isinstance(stated, list) else [stated])}
    known = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
    if not modes:
        return "mean"
    if len(modes) > 1 or not modes <= known.keys():
        raise ModelIntegrityError(
            f"the model pools by {', '.join(sorted(modes))}; only mean and cls are known here",
            file=path,
            remedy="Export it with its pooling inside the graph: 'cmdclf embedder export st:MODEL DIR'",
        )
    return known[modes.pop()]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelIntegrityError("the file is not JSON", file=path, remedy="Copy the model's files anew") from error
    if not isinstance(value, dict):
        raise ModelIntegrityError("the file is no JSON object", file=path, remedy="Copy the model's files anew")
    return value
