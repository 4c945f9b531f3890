"""Trains the bundled static embedder with sentence-transformers: vocabulary, triplets, contrastive training, manifest.

    python -m cmdclf.features.train_static --data POOL.parquet... --equivalents data/pairs/equivalent.jsonl --out DIR

With `--prepare DIR` it stops before the training, and `--prepared DIR` goes on from there, perhaps on another machine
with a graphics card. Needs the extra `train`. Rows under a copyleft licence are left out (column `license`). The
vocabulary is learned by BPE on folded lines and then thinned: a token stays only if several sources use it and it names
no host, so that no verbatim fragment of a source is shipped. Seeds are fixed.

The triplets come from `train_data`, the vectors from `train_vectors`.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.features.embed_static import THRESHOLD_COSINE, StaticEmbedder, seal_manifest
from cmdclf.features.embed_text import build_trie, fold_lines, token_rows
from cmdclf.features.train_data import Equivalent, TripletMaker, load_equivalents
from cmdclf.features.train_pairs import Line, PairMaker, held_out
from cmdclf.features.train_vectors import Prepared, train_vectors

__all__ = ["load_lines", "main", "personal_names", "train", "train_vocabulary", "write_model"]

_COPYLEFT = re.compile(r"(?i)gpl")
_TEXT_COLUMNS = ("process_command_line", "command_line")
_HOST = re.compile(
    r"[a-z0-9-]{2,}\.(com|net|org|io|gov|edu|co|uk|de|local|corp|lan|internal|cloud|dev|app|ai|us|eu|me)\b"
)
_USER = re.compile(r"(?i)(?:[a-z]:\\users\\|/home/|/users/)([a-z][a-z0-9._-]{2,})")
_DOMAIN = re.compile(r"([a-z0-9-]+)\.(?:corp|local|lan|internal)\b")
#: Account names that software gives, not people.
_ROLES = frozenset(
    [
        *["admin", "administrator", "public", "default", "guest", "root", "system", "build", "builder", "runner"],
        *["vagrant", "docker", "jenkins", "postgres", "ubuntu", "debian", "user", "username", "users", "shared"],
        *[
            "appdata",
            "local",
            "service",
            "network",
            "library",
            "bin",
            "lib",
            "share",
            "desktop",
            "env",
            "nginx",
            "backup",
            "operator",
        ],
    ]
)
_VALUE = re.compile(r"(?:pass(?:word|wd)?|pwd|token|secret|api_?key)[=:]\s*[\"']?([^\s\"']{4,})")
_SECRET = re.compile(r"[a-z0-9]@[a-z0-9]|pass(word|wd)?[=:].|token[=:].|secret[=:].|key[=:].|bearer .")
MAX_TOKEN = 24


def load_lines(
    paths: Sequence[Path], *, most_per_source: int = 15_000, seed: int = 0
) -> tuple[list[Line], dict[str, int]]:
    """Distinct lines of the Parquet files, GPL-family rows left out, and how many lines each licence gave.

    Of files with a `group_id` the pages and scripts that are `held_out` are left out, and their lines wherever else
    they stand: benchmarks/embeddings.py asks about these.

    Args:
        paths: files with `process_command_line` or `command_line`; optional platform, group_id, source, license.
        most_per_source: a larger source is thinned to this many distinct lines; a file without sources is one.
        seed: of the thinning.
    """
    lines: dict[tuple[str, str], Line] = {}
    licences: dict[str, int] = {}
    for path in paths:
        names = pq.read_schema(path).names
        text_column = next(c for c in _TEXT_COLUMNS if c in names)
        wanted = [
            text_column,
            *(c for c in ("platform", "group_id", "source", "license", "host") if c in names),
        ]
        rows: list[dict[str, Any]] = pq.read_table(path, columns=wanted).to_pylist()
        fresh: dict[tuple[str, str], Line] = {}
        of: dict[tuple[str, str], str] = {}
        kept_back = {row[text_column] for row in rows if row.get("group_id") and held_out(row["group_id"])}
        for row in rows:
            licence = str(row.get("license") or "recorded for this purpose")
            text = row[text_column]
            platform = str(row.get("platform") or "")
            # "A OR GPL" leaves the choice to us.
            if (
                not text
                or text in kept_back
                or (_COPYLEFT.search(licence) and " OR " not in licence)
                or (platform, text) in lines
            ):
                continue
            source = str(row.get("source") or path.stem)
            group = str(row.get("group_id") or f"{path.stem}/{row.get('host')}/{source}/{text[:12]}")
            fresh.setdefault((platform, text), Line(text, platform, group, source))
            of.setdefault((platform, text), licence)
        keys = sorted(fresh)
        taken: Counter[str] = Counter()
        for i in np.random.default_rng(seed).permutation(len(keys)):
            line = fresh[keys[i]]
            if taken[line.source] < most_per_source:
                taken[line.source] += 1
                lines[keys[i]] = line
                licences[of[keys[i]]] = licences.get(of[keys[i]], 0) + 1
    return list(lines.values()), licences


def personal_names(lines: Sequence[Line]) -> set[str]:
    """Words of home folders', internal domains' and secrets' text, lower-case: no token may hold one.

    A word that mostly stands elsewhere (`path`, `server`) is no name, whoever calls a folder so.
    """
    named: Counter[str] = Counter()
    everywhere: Counter[str] = Counter()
    for line in lines:
        text = line.text.lower()
        everywhere.update(set(re.findall("[a-z]+", text)))
        shy = _USER.findall(text) + _DOMAIN.findall(text) + _VALUE.findall(text)
        named.update({w for name in shy for w in re.findall("[a-z]{4,}", name)})
    return {word for word, n in named.items() if n >= 0.1 * everywhere[word]} - _ROLES


def _may_ship(token: str, names: set[str]) -> bool:
    if len(token) == 1:
        return True
    # BPE cuts names into pieces: after a home folder's slash only a role's whole name may begin.
    home = re.search(r"(?:users\\|/home/|/users/)([a-z]+)", token)
    return not (
        len(token) > MAX_TOKEN
        or (home and home[1] not in _ROLES)
        or names.intersection(re.findall(r"[a-z]+", token))
        or _HOST.search(token)
        or _SECRET.search(token)
    )


def train_vocabulary(
    folded: pa.StringArray,
    sources: Sequence[str],
    names: set[str],
    *,
    size: int = 16_384,
    min_lines: int = 12,
    min_sources: int = 3,
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Tokens by falling frequency, and how often each was matched in `folded`.

    Args:
        folded: lines as `fold_lines` gives them.
        sources: the source of each line: a token needs `min_sources` of them and `min_lines` lines.
        names: words that no token may hold.
        size: most tokens.
        min_lines: fewest lines of a token longer than one symbol.
        min_sources: fewest sources of such a token.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    # More than will stay, since the thinning below takes some.
    trainer = trainers.BpeTrainer(
        vocab_size=int(size * 1.35), min_frequency=min_lines, max_token_length=MAX_TOKEN, show_progress=False
    )
    learner.train_from_iterator(folded.to_pylist(), trainer, length=len(folded))
    symbols = [chr(b) for b in range(33, 127)]
    candidates = symbols + sorted(t for t in learner.get_vocab() if len(t) > 1 and t.isascii() and _may_ship(t, names))
    number = {source: i for i, source in enumerate(sorted(set(sources)))}
    source_of = np.array([number[s] for s in sources])
    # Twice: what a dropped token covered falls to others, which may then be common enough or not.
    for _ in range(2):
        found = token_rows(folded, build_trie(candidates))
        ids = np.asarray(found.values)
        row = np.repeat(np.arange(len(found)), np.diff(np.asarray(found.offsets)))
        in_lines = np.bincount(np.unique(row * len(candidates) + ids) % len(candidates), minlength=len(candidates))
        in_sources = np.unique(source_of[row] * len(candidates) + ids) % len(candidates)
        spread = np.bincount(in_sources, minlength=len(candidates))
        keep = (in_lines >= min_lines) & (spread >= min_sources)
        keep[: len(symbols)] = True
        candidates = [t for t, k in zip(candidates, keep, strict=True) if k]
    counts = np.bincount(np.asarray(token_rows(folded, build_trie(candidates)).values), minlength=len(candidates))
    order = sorted(range(len(candidates)), key=lambda i: (len(candidates[i]) > 1, -counts[i], candidates[i]))[:size]
    vocabulary = [candidates[i] for i in order]
    counts = np.bincount(np.asarray(token_rows(folded, build_trie(vocabulary)).values), minlength=len(vocabulary))
    order = sorted(range(len(vocabulary)), key=lambda i: (-counts[i], vocabulary[i]))
    return [vocabulary[i] for i in order], counts[order]


def _tokenizer(vocabulary: Sequence[str]) -> Any:
    """The same tokeniser as a Hugging Face one: WordPiece without a continuation mark is greedy longest match."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    ids = {token: i for i, token in enumerate(vocabulary)}
    unknown = "!"  # WordPiece wants one, though every symbol has a token.
    model = models.WordPiece(ids, unk_token=unknown, continuing_subword_prefix="", max_input_chars_per_word=4096)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def write_model(folder: Path, vocabulary: Sequence[str], vectors: npt.NDArray[Any], manifest: dict[str, Any]) -> None:
    """Writes `vectors.npy` (float16), `tokenizer.json` and the sealed `manifest.json`.

    The model's name holds a digest of its vectors: whatever was computed with other vectors has another name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "vectors.npy", vectors.astype(np.float16), allow_pickle=False)
    _tokenizer(vocabulary).save(str(folder / "tokenizer.json"), pretty=False)
    name = f"cmdclf-static-{vectors.shape[1]}-{hashlib.sha256((folder / 'vectors.npy').read_bytes()).hexdigest()[:8]}"
    seal_manifest(folder, {"name": name, "dim": int(vectors.shape[1]), "tokens": len(vocabulary), **manifest})


def prepare(
    paths: Sequence[Path], equivalents: Sequence[Equivalent], *, triplets: int, lessons: int, size: int, seed: int
) -> tuple[Prepared, dict[str, Any]]:
    """The training data, and what is known about it: licences, counts, and 5,000 triplets to look at afterwards."""
    lines, licences = load_lines(paths, seed=seed)
    maker = TripletMaker(lines, equivalents, seed=seed)
    # People ask in English: its words are tokens too. Sentences are of many hands' topics, dealt to as many sources.
    said = maker.sentences()
    folded = fold_lines(pa.array([line.text for line in lines] + said))
    sources = [line.source for line in lines] + [f"sentences {i % 8}" for i in range(len(said))]
    vocabulary, counts = train_vocabulary(folded, sources, personal_names(lines), size=size)
    made = maker.triplets(triplets)
    # Of another seed: names and wrappers that were not trained on, lines that were.
    fresh = PairMaker(lines, seed=seed + 1).triplets(min(5_000, triplets), same_group_share=0.0)
    about = {
        "data": [path.name for path in paths],
        "lines": len(lines),
        "lines_by_licence": dict(sorted(licences.items())),
        "equivalents": len(equivalents),
        "triplets": triplets,
        "lessons": lessons,
        "vocabulary": size,
        "seed": seed,
        "fresh": fresh,
    }
    return Prepared.of(vocabulary, counts, made, maker.lessons(lessons)), about


def train(
    prepared: Prepared,
    about: dict[str, Any],
    out: Path,
    *,
    dim: int = 128,
    batch: int = 2048,
    epochs: int = 8,
    teacher: str = "",
    teacher_weight: float = 1.0,
    threads: int = 2,
) -> None:
    """Trains on what `prepare` made and writes the model folder `out`."""
    settings = {"dim": dim, "batch": batch, "epochs": epochs}
    vectors = train_vectors(
        prepared, **settings, teacher=teacher, teacher_weight=teacher_weight, seed=about["seed"], threads=threads
    )
    embedder = StaticEmbedder("trial", prepared.vocabulary, vectors.astype(np.float16))
    line, same, other = (embedder.embed(pa.array(column)) for column in zip(*about["fresh"], strict=True))
    same_cosine, other_cosine = (line * same).sum(1), (line * other).sum(1)
    known = {key: value for key, value in about.items() if key != "fresh"}
    taught = {"teacher": Path(teacher).name, "teacher_weight": teacher_weight} if teacher else {}
    manifest = {
        "threshold_cosine": THRESHOLD_COSINE,
        "training": {"command": "python -m cmdclf.features.train_static", **known, **settings, **taught},
        "results": {
            "triplets_ordered_right": round(float((same_cosine > other_cosine).mean()), 4),
            "same_behaviour_at_threshold": round(float((same_cosine >= THRESHOLD_COSINE).mean()), 4),
            "other_behaviour_at_threshold": round(float((other_cosine >= THRESHOLD_COSINE).mean()), 4),
        },
    }
    write_model(out, prepared.vocabulary, vectors, manifest)
    sys.stderr.write(f"{out}: {len(prepared.vocabulary)} tokens, {manifest['results']}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of the training; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m cmdclf.features.train_static", description="Trains the static embedder."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", nargs="+", type=Path, metavar="FILE.parquet", help="public command lines")
    source.add_argument("--prepared", type=Path, metavar="DIR", help="what --prepare wrote")
    parser.add_argument("--equivalents", type=Path, metavar="FILE.jsonl", help="groups of equivalent commands")
    parser.add_argument("--prepare", type=Path, metavar="DIR", help="write the training data there and stop")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the model's folder")
    parser.add_argument("--teacher", default="", metavar="NAME or DIR", help="a sentence-transformers model")
    parser.add_argument("--teacher-weight", type=float, default=1.0)
    parser.add_argument("--triplets", type=int, default=320_000)
    parser.add_argument("--lessons", type=int, default=60_000, help="texts that the teacher reads (%(default)s)")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--vocabulary", type=int, default=16_384)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.out is None and args.prepare is None:
        parser.error("give --out DIR, or --prepare DIR")
    if args.prepared:
        prepared, about = Prepared.load(args.prepared)
    else:
        groups = load_equivalents(args.equivalents) if args.equivalents else []
        prepared, about = prepare(
            args.data, groups, triplets=args.triplets, lessons=args.lessons, size=args.vocabulary, seed=args.seed
        )
    if args.prepare:
        prepared.save(args.prepare, about)
        return 0
    train(
        prepared, about, args.out, dim=args.dim, batch=args.batch, epochs=args.epochs, teacher=args.teacher,
        teacher_weight=args.teacher_weight, threads=args.threads,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
