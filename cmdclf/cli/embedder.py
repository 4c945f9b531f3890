"""`cmdclf embedder`: check, seal, export and compare embedding models."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._messages import say
from cmdclf.errors import CmdclfError

if TYPE_CHECKING:
    from cmdclf.features.compare_embedders import Comparison
    from cmdclf.features.embedders import Embedder

__all__ = ["add_arguments", "run"]

_WHICH = "bundled, a model folder, or st:NAME"
#: Characters of a line that are kept for a comparison: no model here reads more.
_MAX_CHARS = 131_072
_INT8_THRESHOLD = 0.95
_LEXICON_TEMPLATES, _LEXICON_DRAWS = 400, 3
_LINES = (
    "net user bob /add",
    "ls -la /var/log",
    r"C:\Windows\System32\cmd.exe /c whoami /all > C:\Temp\who-17.txt",
    "powershell.exe -NoProfile -Command Get-Service -Name bits | Select-Object Status",
    "docker run --rm -d -p 8080:80 --name web1 nginx:1.25",
    "tar -czf /backup/etc-2024-05-17.tar.gz --exclude=/etc/ssl /etc",
    "schtasks /create /tn Nightly /tr C:\\Scripts\\nightly.cmd /sc daily /st 02:00 /ru SYSTEM",
    "find /srv/www -name '*.php' -mtime -2 -exec grep -l base64_decode {} +",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    check = actions.add_parser("check", help="load an embedder; its name, dimension, files' SHA-256 and speed")
    check.add_argument("embedder", metavar="DIR or NAME", help=_WHICH)
    check.add_argument(
        "--expect", action="append", default=[], metavar="SHA256", help="a file must have this digest; may be repeated"
    )

    seal = actions.add_parser("seal", help="write manifest.json with the SHA-256 of an ONNX folder's files")
    seal.add_argument("dir", type=Path, metavar="DIR", help="folder with model.onnx and tokenizer.json")
    seal.add_argument("--name", help="readable name (default: the folder's)")
    seal.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        help="longer lines are cut there, up to 8192 (default: the model's files)",
    )
    seal.add_argument(
        "--pooling", choices=("mean", "cls"), help="how token vectors become one (default: by 1_Pooling, else mean)"
    )
    seal.add_argument(
        "--threshold", type=float, metavar="COSINE", help="near-duplicates from here on; what dedup takes by default"
    )

    export = actions.add_parser("export", help="a sentence-transformers model as a sealed ONNX folder (extra st)")
    export.add_argument("model", metavar="st:NAME", help="the model; st: before its name or folder")
    export.add_argument("dir", type=Path, metavar="DIR", help="where the folder goes; must not exist yet")
    export.add_argument("--name", help="readable name (default: the model's)")
    export.add_argument(
        "--int8", action="store_true", help="quantise, and write nothing unless near-duplicate decisions hold"
    )
    export.add_argument(
        "--lines", metavar="FILE", help="with --int8: decide on pairs of these lines (default: lines of the lexicon)"
    )
    export.add_argument(
        "--threshold",
        type=float,
        default=_INT8_THRESHOLD,
        metavar="COSINE",
        help="with --int8: near-duplicates from here on (default %(default)s)",
    )

    compare = actions.add_parser("compare", help="do two embedders take the same near-duplicate decisions?")
    compare.add_argument("a", metavar="A", help=_WHICH)
    compare.add_argument("b", metavar="B", help=_WHICH)
    compare.add_argument("file", metavar="FILE", help="command lines, as for embed; - is standard input")
    compare.add_argument(
        "--threshold", type=float, metavar="COSINE", help="of both (default: A's own, and B's own where it has one)"
    )
    compare.add_argument(
        "--limit", type=int, default=5000, metavar="N", help="most lines, the same ones each time (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Do one action."""
    return {"check": _check, "seal": _seal, "export": _export, "compare": _compare}[args.action](args)


def _check(args: argparse.Namespace) -> int:
    from cmdclf.features.embedders import embedder_files, load_embedder

    embedder = load_embedder(args.embedder)
    files = embedder_files(embedder)
    for digest in args.expect:
        if digest.strip().lower() not in files.values():
            raise CmdclfError(
                f"no file of it has the SHA-256 {digest.strip()[:64]!r}",
                file=args.embedder,
                remedy="Don't use it: download it again, and compare with what its publisher states",
            )
    _describe(embedder)
    for name, digest in files.items():
        say(f"{digest}  {name}{'  as expected' if digest in [d.strip().lower() for d in args.expect] else ''}")
    say(f"{'speed':<11}{_lines_per_second(embedder):,.0f} lines/s (short lines, this machine)")
    return 0


def _seal(args: argparse.Namespace) -> int:
    from cmdclf.features.embed_onnx import seal_folder

    embedder = seal_folder(
        args.dir, name=args.name, max_tokens=args.max_tokens, pooling=args.pooling, threshold_cosine=args.threshold
    )
    _describe(embedder)
    for name, digest in embedder.files.items():
        say(f"{digest}  {name}")
    say(str(args.dir / "manifest.json"))
    return 0


def _export(args: argparse.Namespace) -> int:
    import tempfile

    from cmdclf.features.export_onnx import export_encoder, quantise_encoder

    if not args.model.startswith("st:"):
        raise CmdclfError("only st: models are exported", file=args.model, remedy="Write st: before its name or folder")
    model = args.model.removeprefix("st:")
    if not args.int8:
        embedder, difference = export_encoder(model, args.dir, name=args.name)
    else:
        _cosine(args.threshold)
        lines = _lexicon_lines() if args.lines is None else _sample(args.lines, 5000)[0]
        with tempfile.TemporaryDirectory(prefix="cmdclf-export-") as work:
            plain = Path(work) / "float32"
            _, difference = export_encoder(model, plain, name=args.name)
            embedder, found = quantise_encoder(plain, args.dir, lines, threshold_cosine=args.threshold)
        say(f"int8 changes {found.flip_share:.2%} of the near-duplicate decisions ({found.flipped} of {found.decided})")
    _describe(embedder)
    say(f"{'parity':<11}{difference:.2g} at most from sentence-transformers (before int8, where asked for)")
    say(str(args.dir))
    return 0


def _compare(args: argparse.Namespace) -> int:
    import pyarrow as pa

    from cmdclf.features.compare_embedders import compare_vectors
    from cmdclf.features.embedders import load_embedder

    a, b = load_embedder(args.a), load_embedder(args.b)
    threshold_a = _cosine(args.threshold if args.threshold is not None else _own_threshold(a))
    threshold_b = _cosine(args.threshold if args.threshold is not None else _own_threshold(b) or threshold_a)
    lines, cut = _sample(args.file, args.limit)
    if len(lines) < 2:
        raise CmdclfError("it holds no two different lines", file=args.file, remedy="Give a file with more lines")
    texts = pa.array(lines, pa.string())
    found = compare_vectors(a.embed(texts), b.embed(texts), threshold_a=threshold_a, threshold_b=threshold_b)
    rows = [
        ("A", f"{a.name}, {a.dim} numbers, near-duplicates from {threshold_a:g}"),
        ("B", f"{b.name}, {b.dim} numbers, near-duplicates from {threshold_b:g}"),
        ("different lines", f"{found.lines:,}{' (a fixed sample, see --limit)' if cut else ''}"),
        *_table(found, threshold_b),
    ]
    for label, value in rows:
        say(f"{label:<28}{value}")
    return 0


def _table(found: Comparison, threshold_b: float) -> list[tuple[str, str]]:
    def share(part: int, whole: int) -> str:
        return f"{part / whole:.2%} ({part:,} of {whole:,} pairs)" if whole else "no pair was decided"

    rows = [
        ("near-duplicate pairs", f"A {found.near_a:,}, B {found.near_b:,}, either {found.decided:,}"),
        ("decisions that flip", share(found.flipped, found.decided)),
    ]
    if found.near_a and abs(found.best_threshold - threshold_b) > 1e-9:
        best = share(found.best_flipped, found.best_decided)
        rows.append(("  with B's best threshold", f"{best} from {found.best_threshold:g}"))
    rows.append(("same nearest neighbour", f"{found.same_nearest:.1%} of the lines"))
    between = "other dimensions" if found.cosine is None else "least {:.4f}, mean {:.4f}".format(*found.cosine)
    rows.append(("cosine of A's and B's vector", f" {between}"))
    return rows


def _describe(embedder: Embedder) -> None:
    facts: list[tuple[str, Any]] = [("name", embedder.name), ("dim", embedder.dim)]
    tokens, graph = getattr(embedder, "max_tokens", None), getattr(embedder, "graph", None)
    if tokens is not None:
        facts.append(("max tokens", f"{tokens:,}"))
    if graph is not None:
        facts += [("inputs", ", ".join(graph.inputs)), ("pooling", f"{graph.pooling} of '{graph.output}'")]
    own = _own_threshold(embedder)
    facts.append(("threshold", f"{own:g}" if own else "none of its own: dedup needs --threshold"))
    if not getattr(embedder, "sealed", True):
        facts.append(("seal", "none: 'cmdclf embedder seal' lets every load check the files"))
    for label, value in facts:
        say(f"{label:<11}{value}")


def _own_threshold(embedder: Embedder) -> float | None:
    own = getattr(embedder, "manifest", {}).get("threshold_cosine")
    return None if own is None else float(own)


def _cosine(value: float | None) -> float:
    if value is None:
        raise CmdclfError(
            "the first embedder brings no threshold of its own",
            remedy="Give one with --threshold; 'cmdclf dedup --calibrate' finds it from labelled pairs",
        )
    if not 0 < value <= 1:
        raise CmdclfError(f"--threshold {value:g} is no cosine", remedy="Give a number above 0 and up to 1")
    return value


def _lines_per_second(embedder: Embedder) -> float:
    import pyarrow as pa

    # Different lines, for equal ones are embedded once.
    lines = pa.array([f"{line} {n}" for n in range(8) for line in _LINES])
    embedder.embed(lines)
    start, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - start < 0.5:
        embedder.embed(lines)
        done += len(lines)
    return done / (time.perf_counter() - start)


def _sample(file: str, limit: int) -> tuple[list[str], bool]:
    """At most `limit` different lines of a file, chosen by their hash; and whether there are more."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from cmdclf.cli._lines_io import command_lines, open_lines
    from cmdclf.telemetry import command_ids

    if limit < 2:
        raise CmdclfError(f"--limit {limit} leaves nothing to compare", remedy="Give a number from 2 on")
    kept: dict[str, str] = {}
    cut = False
    for batch in open_lines(file):
        texts = pc.unique(pc.utf8_slice_codeunits(command_lines(batch).drop_null(), 0, _MAX_CHARS))
        ids = command_ids(pa.array(["linux"] * len(texts), pa.string()), texts)
        kept.update(zip(ids.to_pylist(), texts.to_pylist(), strict=True))
        if len(kept) > limit:
            cut = True
            kept = {key: kept[key] for key in sorted(kept)[:limit]}
    return [kept[key] for key in sorted(kept)], cut


def _lexicon_lines() -> list[str]:
    """Different lines of the bundled lexicon, some renderings of each of some templates."""
    import random

    import numpy as np

    from cmdclf.lexicon.pools import LexiconPool

    pool = LexiconPool()
    templates = np.random.default_rng(0).choice(len(pool.table), _LEXICON_TEMPLATES, replace=False)
    drawn, _ = pool.lines(np.repeat(np.sort(templates), _LEXICON_DRAWS), random.Random(0))
    return list(dict.fromkeys(drawn.to_pylist()))
