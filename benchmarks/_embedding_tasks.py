"""What benchmarks/embeddings.py asks of every model: retrieval tasks, labelled pairs, labelled lines, all from seeds.

Public pools are split by their pages and scripts: one group in ten, by the SHA-256 of its id (`held_out`), is for tests
of retrieval: the training of the bundled model leaves it out.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from _labelled_lines import fold_of
from _respelt_unix import UNIX
from _respelt_windows import WINDOWS

from cmdclf.dedup.calibrate import read_pairs
from cmdclf.errors import CmdclfError
from cmdclf.features.train_pairs import held_out
from cmdclf.lexicon.pools import LexiconPool, ParquetPool
from cmdclf.lexicon.wrappers import rewrap

SEED = 1


@dataclass(frozen=True)
class Sizes:
    """How much of everything; `pairs` and, for the calibration, `calibration` pairs of a kind."""

    groups: int = 100_000
    distractors: int = 2_000
    per_way: int = 16
    pages: int = 400
    calibration: int = 100_000
    pairs: int = 100_000
    malicious: int = 4_000
    benign: int = 12_000
    lines: int = 1_024
    many: int = 200_000


QUICK = Sizes(25, 150, 1, 15, 50, 30, 40, 120, 64, 30_000)


@dataclass
class Retrieval:
    """Queries, and which candidates each should find.

    Attributes:
        name: as the table prints it.
        queries, candidates: texts; candidates are distinct.
        hits: for each query the places of the candidates that it should find.
        without: for each query the candidates that don't count for it, such as itself.
        cluster: for each query what it is resampled with.
        about: what the numbers are taken over.
    """

    name: str
    queries: list[str]
    candidates: list[str]
    hits: list[list[int]]
    without: list[list[int]]
    cluster: list[str]
    about: str


@dataclass
class Tasks:
    """All that a model is asked; plain JSON in a file between the processes.

    Attributes:
        retrieval: the retrieval tasks.
        pairs: `calibration` and `near`, each with platform, a, b, same, kind of every pair.
        knn: line, malicious, fold and group of every line; empty without.
        lines: distinct lines that speed is measured on.
        few: so many of them for every model, the others for models that are fast.
        left_out: what could not be asked, and why.
    """

    retrieval: list[Retrieval] = field(default_factory=list)
    pairs: dict[str, dict[str, list]] = field(default_factory=dict)
    knn: dict[str, list] = field(default_factory=dict)
    knn_about: str = ""
    lines: list[str] = field(default_factory=list)
    few: int = 0
    left_out: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        plain = {**vars(self), "retrieval": [vars(task) for task in self.retrieval]}
        path.write_text(json.dumps(plain), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Tasks:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**plain, "retrieval": [Retrieval(**task) for task in plain["retrieval"]]})


class Lexicon:
    """Rendered lines of the bundled lexicon."""

    def __init__(self) -> None:
        self.pool = LexiconPool()

    def rows(self, count: int, salt: str, *, platform: str | None = None) -> np.ndarray:
        """Templates, drawn without repetition as long as there are any."""
        rng = np.random.default_rng(list(salt.encode()))
        rows = np.arange(len(self.pool.table))
        rows = rows if platform is None else rows[self.pool.table.platform == platform]
        return np.concatenate([rng.permutation(rows) for _ in range(-(-count // len(rows)))])[:count]

    def render(self, rows: np.ndarray, salt: str) -> list[str]:
        lines: list[str] = self.pool.lines(rows, random.Random(salt))[0].to_pylist()
        return lines

    def lines(self, count: int, salt: str) -> list[str]:
        """At most `count` distinct lines."""
        return list(dict.fromkeys(self.render(self.rows(count, salt), salt)))


def build(sizes: Sizes, equivalent: Path, calibration: Path, near: Path, data: Path | None) -> Tasks:
    """All tasks that the files allow."""
    lexicon, tasks = Lexicon(), Tasks()
    distractors = lexicon.lines(sizes.distractors, "distractors")
    pools = [data / f"{name}_dev.parquet" for name in ("malicious", "benign")] if data else []
    for path in pools:
        if not path.is_file():
            raise CmdclfError("no such file", file=path, remedy="Give --data the folder of the public pools")
    if equivalent.is_file():
        tasks.retrieval += same_meaning(read_groups(equivalent, sizes.groups), distractors)
    else:
        tasks.left_out.append(f"equivalent commands: there is no {equivalent}")
    tasks.retrieval.append(obfuscated(lexicon, pools, distractors, sizes.per_way))
    if pools:
        tasks.retrieval.append(pages(pools[1], distractors, sizes.pages))
    else:
        tasks.left_out.append("lines of one documentation page: they need --data")
    for name, path, most in (("calibration", calibration, sizes.calibration), ("near", near, sizes.pairs)):
        if path.is_file():
            tasks.pairs[name] = labelled_pairs(path, most)
        else:
            tasks.left_out.append(f"near-duplicates ({name}): there is no {path}")
    tasks.knn, tasks.knn_about = labelled_lines(lexicon, pools, sizes.malicious, sizes.benign)
    tasks.lines, tasks.few = lexicon.lines(sizes.many, "speed"), sizes.lines
    return tasks


def read_groups(path: Path, most: int) -> list[dict]:
    """Groups of equivalent commands with two forms or more; `most` of them, evenly over the file."""
    groups = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(text) if text.strip() else None
            if row and len({f["line"] for f in row["forms"]}) > 1:
                groups.append({**row, "tools": [_tool(f.get("tool") or f["line"]) for f in row["forms"]]})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = "Each row is an object with op, family, forms (platform, tool, line) and other"
            raise CmdclfError("the row is no group of commands", file=path, row=number, remedy=remedy) from error
    step = max(1.0, len(groups) / most)
    return [groups[int(i * step)] for i in range(min(most, len(groups)))]


def _tool(name: str) -> str:
    return name.strip().strip('"').replace("\\", "/").split("/")[-1].split(" ")[0].lower().removesuffix(".exe")


class Candidates:
    """Distinct texts and their places."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._at: dict[str, int] = {}

    def add(self, text: str) -> int:
        if text not in self._at:
            self._at[text] = len(self.texts)
            self.texts.append(text)
        return self._at[text]

    def __contains__(self, text: str) -> bool:
        return text in self._at


def same_meaning(groups: list[dict], distractors: Sequence[str]) -> Iterator[Retrieval]:
    """Each form finds the others of its group; those of another tool; and each sentence finds the forms."""
    candidates = Candidates()
    places = [[candidates.add(f["line"]) for f in group["forms"]] for group in groups]
    forms = len(candidates.texts)
    for text in [o for group in groups for o in group.get("other", ())] + list(distractors):
        candidates.add(text)
    families, tools = {g["family"] for g in groups}, {t for g in groups for t in g["tools"]}
    about = (f"{len(groups)} operations of {len(families)} families, {forms:,} lines of {len(tools)} tools, "
             f"{len(candidates.texts) - forms:,} other lines")  # fmt: skip
    for name in ("equivalent command", "equivalent of another tool"):
        queries, hits, without, cluster = [], [], [], []
        for group, where in zip(groups, places, strict=True):
            for form, tool in zip(where, group["tools"], strict=True):
                kin = {p for p, t in zip(where, group["tools"], strict=True) if t == tool} if "tool" in name else {form}
                if set(where) - kin:
                    queries.append(candidates.texts[form])
                    hits.append(sorted(set(where) - kin))
                    without.append(sorted(kin))
                    cluster.append(group["family"])
        yield Retrieval(name, queries, candidates.texts, hits, without, cluster, about)
    sentences, families_of = [g["op"] for g in groups], [g["family"] for g in groups]
    yield Retrieval(
        "sentence to command", sentences, candidates.texts, places, [[] for _ in groups], families_of, about
    )


def obfuscated(lexicon: Lexicon, pools: list[Path], distractors: Sequence[str], per_way: int) -> Retrieval:
    """A line respelt by a way that training doesn't know finds the line."""
    candidates, rng = Candidates(), random.Random(SEED)
    queries, hits, cluster = [], [], []
    public = _held_out_lines(pools)
    for ways, platform in ((WINDOWS, "windows"), (UNIX, "linux")):
        rendered = lexicon.render(lexicon.rows(4000, f"respelt {platform}", platform=platform), f"respelt {platform}")
        turns = zip_longest(rendered, public[platform][: len(rendered)])
        lines = list(dict.fromkeys(line for turn in turns for line in turn if line and len(line) < 400))
        for way, respell in ways.items():
            found = ((line, respell(line, rng)) for line in lines if line not in candidates)
            for line, respelt in islice(((a, b) for a, b in found if b is not None and a != b), per_way):
                hits.append([candidates.add(line)])
                queries.append(respelt)
                cluster.append(f"{platform}: {way}")
    originals = len(candidates.texts)
    for text in distractors:
        candidates.add(text)
    about = f"{len(set(cluster))} ways, {originals:,} lines, {len(candidates.texts) - originals:,} other lines"
    return Retrieval("obfuscated line", queries, candidates.texts, hits, [[] for _ in queries], cluster, about)


def _held_out_lines(pools: list[Path]) -> dict[str, list[str]]:
    """Lines of held-out groups by platform (macOS with Linux), shuffled."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in pools:
        table = pq.read_table(path, columns=["process_command_line", "platform", "group_id"])
        for row in table.to_pylist():
            if held_out(row["group_id"]) and len(row["process_command_line"]) < 400:
                found["windows" if row["platform"] == "windows" else "linux"].add(row["process_command_line"])
    shuffled = {}
    for platform in ("windows", "linux"):
        shuffled[platform] = sorted(found[platform])
        random.Random(SEED).shuffle(shuffled[platform])
    return shuffled


def pages(pool: Path, distractors: Sequence[str], most: int) -> Retrieval:
    """A line of a documentation page finds the page's others, four lines of each of the held-out pages."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in pq.read_table(pool, columns=["process_command_line", "kind", "source", "group_id"]).to_pylist():
        if row["kind"] == "docs" and held_out(row["group_id"]):
            found[row["source"], row["group_id"]].add(row["process_command_line"])
    rng = random.Random(SEED)
    # A line of two pages says nothing about either.
    owners: dict[str, int] = defaultdict(int)
    for lines in found.values():
        for line in lines:
            owners[line] += 1
    usable = {page: sorted(t for t in lines if owners[t] == 1) for page, lines in sorted(found.items())}
    chosen = [page for page, lines in usable.items() if len(lines) > 2]
    rng.shuffle(chosen)
    candidates = Candidates()
    queries, hits, without, cluster = [], [], [], []
    for page in chosen[:most]:
        where = [candidates.add(t) for t in rng.sample(usable[page], min(4, len(usable[page])))]
        for form in where:
            queries.append(candidates.texts[form])
            hits.append([p for p in where if p != form])
            without.append([form])
            cluster.append("/".join(page))
    for text in distractors:
        candidates.add(text)
    sources = {source for source, _ in chosen[:most]}
    others = len(candidates.texts) - len(queries)
    about = f"{len(set(cluster))} pages of {len(sources)} sources, {len(queries):,} lines, {others:,} other lines"
    return Retrieval("line of the same page", queries, candidates.texts, hits, without, cluster, about)


def labelled_pairs(path: Path, most: int) -> dict[str, list]:
    """At most so many pairs of a kind, evenly over the file."""
    table = read_pairs(path)[0]
    same = np.array(table["same"].to_pylist(), bool)
    kept = np.sort(np.concatenate([r[np.unique(np.linspace(0, len(r) - 1, min(most, len(r)), dtype=int))]
                                   for r in (np.flatnonzero(same), np.flatnonzero(~same))]))  # fmt: skip
    columns: dict[str, list] = table.take(kept).to_pydict()
    return columns


def labelled_lines(lexicon: Lexicon, pools: list[Path], malicious: int, benign: int) -> tuple[dict[str, list], str]:
    """Malicious and benign lines, wrappers drawn anew, in folds of whole sources (without pools: whole topics)."""
    pool = ParquetPool(pools, rewrap=True, seed=SEED) if pools else lexicon.pool
    table, rng = pool.table, np.random.default_rng(SEED)
    labels = ((True, malicious), (False, benign))
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(table.malicious == label))[:most] for label, most in labels]
    )
    text = pool.lines(chosen, random.Random(SEED))[0].to_pylist()
    if not pools:
        draws = random.Random(SEED)
        text = [rewrap(t, t, p, draws) for t, p in zip(text, table.platform[chosen], strict=True)]
    is_bad, source = table.malicious[chosen], table.source[chosen].astype(str)
    fold = fold_of(source, is_bad, source, rng)
    what = "sources" if pools else "topics of the lexicon"
    about = f"{int(is_bad.sum()):,} malicious and {int((~is_bad).sum()):,} benign lines of {len(set(source))} {what}"
    columns = {"line": text, "malicious": is_bad.tolist(), "fold": fold.tolist(),
               "group": (table.group_id if pools else table.families)[chosen].tolist()}  # fmt: skip
    return columns, about
