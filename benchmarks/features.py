"""Hand-engineered features and behavioural checks: lines a second, ours against plain Python, DuckDB and RE2.

    python benchmarks/features.py [--quick] [--json FILE] [--lines FILE.parquet]

The input is made from ordinary command lines with changing parts and, one in twenty, an example of the behavioural
checks; --lines takes the column command_line (and platform) of a Parquet file instead. Ours is measured on batches of
65,536 lines. Each case runs ours and its peer in turn, several times, on one thread; the table gives medians of CPU
time, so that other work on the machine disturbs little. Loops that are a hundred times slower are timed on fewer of
the lines. Answers are compared before the clock starts. Peers:
  python   all columns by a loop over lines with Counter, re and the decoders (benchmarks/plain_features.py)
  re       the behavioural checks by a loop over lines and compiled patterns, tried where a literal of theirs occurs
  duckdb   the behavioural checks by one SQL query with regexp_matches for each of them
  re2      the behavioural checks by pyarrow.compute.match_substring_regex on every line, without our prefilter
  counter  the counts of tokens, pairs and characters by a loop over lines
The last rows are wall-clock times: two threads against one of ours, and against two of DuckDB's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from plain_features import PlainFeatures
from threadpoolctl import threadpool_limits

from cmdclf.features import FeatureMaker
from cmdclf.features.hidden import find_hidden, measure_hidden
from cmdclf.lines.decode import suspects
from cmdclf.rules import RuleSet
from cmdclf.rules.buffers import as_string_array
from cmdclf.rules.engine import match_everywhere

BATCH = 65_536

ORDINARY = {
    "windows": [
        r"C:\Windows\System32\svchost.exe -k netsvcs -p -s {w}Svc",
        r'"C:\Program Files\{w}\{w}.exe" --type=renderer --lang=en-US --scale-factor=1 --field-trial-handle={n},{n}',
        r"powershell.exe -NoProfile -ExecutionPolicy Bypass -File C:\ProgramData\{w}\inventory-{n}.ps1 -Site {w}",
        r"C:\Windows\system32\cmd.exe /c robocopy D:\data\{w} \\backup{n}\share\{w} /MIR /R:2 /LOG:C:\logs\{n}.txt",
        r"msiexec.exe /i C:\deploy\{w}-{n}.msi /qn /norestart /l*v C:\Windows\Temp\{w}{n}.log",
    ],
    "linux": [
        "/usr/bin/python3 /opt/{w}/manage.py sync --shard {n} --since 2025-01-{n}",
        "/bin/sh -c /usr/lib/{w}/check_{w} -w {n} -c {n} -p /var/lib/{w} | grep -c OK",
        "kubectl get pods -n {w} -l app={w} -o jsonpath={{.items[{n}].metadata.name}}",
        "gcc -O2 -g -Wall -I/usr/include/{w} -c src/{w}_{n}.c -o build/{w}_{n}.o",
        "sed -n {n},{n}p /var/log/{w}/{w}.log",
    ],
    "macos": [
        "/usr/sbin/softwareupdate --list --product-types {w} --verbose {n}",
        "/usr/bin/xcrun simctl list devices {w} -j",
    ],
}


def make_lines(n: int) -> pa.RecordBatch:
    rng = random.Random(7)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(4, 10))) for _ in range(400)]
    odd = [line for rule in RuleSet.bundled("behaviours").rules for line in rule.hits]
    lines, platforms = [], []
    for k in range(n):
        where = rng.choices(["windows", "linux", "macos"], [5, 4, 1])[0]
        if k % 20 == 0:
            line = rng.choice(odd)
        else:
            line = rng.choice(ORDINARY[where]).replace("{{", "{").replace("}}", "}")
            while "{w}" in line:
                line = line.replace("{w}", rng.choice(words), 1)
            while "{n}" in line:
                line = line.replace("{n}", str(rng.randrange(10_000)), 1)
        lines.append(line)
        platforms.append(where)
    return pa.record_batch({"command_line": lines, "platform": platforms})


def read_lines(path: str, n: int) -> pa.RecordBatch:
    names = [name for name in ("command_line", "platform") if name in pq.read_schema(path).names]
    table = pq.read_table(path, columns=names)
    if len(table) > n:
        table = table.take(pa.array(np.random.default_rng(7).choice(len(table), n, replace=False)))
    return pa.record_batch({name: as_string_array(table[name]) for name in names})


# ---------------------------------------------------------------- answers and peers


class DuckDB:
    """All checks in one query, over lines that are in DuckDB's memory already."""

    def __init__(self, lines: pa.Array, rules: RuleSet, threads: int) -> None:
        self.database = duckdb.connect(config={"threads": threads})
        # DuckDB works in parallel on row groups of at least 2,048 rows.
        self.database.execute(f"ATTACH ':memory:' AS m (ROW_GROUP_SIZE {2048 * max(1, len(lines) // 16384)}); USE m")
        given = pa.table({"line": lines, "place": np.arange(len(lines))})  # noqa: F841  DuckDB finds it by its name
        self.database.execute("CREATE TABLE lines AS SELECT * FROM given")
        columns = [
            f"regexp_matches(line, {_quoted(rule.regex)}, '{'c' if rule.case else 'i'}')" for rule in rules.rules
        ]
        self.query = f"SELECT {', '.join(columns)} FROM lines"

    def __call__(self, *, ordered: bool = False) -> pa.Table:
        return self.database.sql(self.query + (" ORDER BY place" if ordered else "")).to_arrow_table()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def check_answers(maker: FeatureMaker, batch: pa.RecordBatch, rules: RuleSet) -> None:
    """Ends the program where ours and a peer do not agree."""
    lines = batch["command_line"]
    plain = PlainFeatures(rules)
    plain.fit(lines.to_pylist())
    # With this many buckets hardly two tokens share one: the plain loop counts exactly.
    ours = FeatureMaker(buckets=2**24, behaviours=rules).fit(batch).matrix(batch)
    theirs = np.array([plain.row(*row) for row in rows_of(batch)], np.float32)
    names = maker.feature_names
    for k, off in enumerate((~np.isclose(ours, theirs, rtol=1e-4, atol=2e-4)).mean(axis=0)):
        if off > (0.01 if "rarity" in names[k] or "unseen" in names[k] else 0):
            raise SystemExit(f"our column {names[k]} is not that of the plain loop")
    matched = rules.match(lines)
    if not np.array_equal(matched, match_everywhere(lines, rules.rules)):
        raise SystemExit("our matches are not those of RE2")
    found = np.column_stack([column.to_numpy() for column in DuckDB(lines, rules, 1)(ordered=True).columns])
    # DuckDB's patterns let the dot match a line's end.
    flat = ~np.array(["\n" in (line or "") for line in lines.to_pylist()])
    if not np.array_equal(matched[flat], found[flat]):
        raise SystemExit("our matches are not those of DuckDB")


def rows_of(batch: pa.RecordBatch) -> list[tuple[str, str | None]]:
    lines = [line or "" for line in batch["command_line"].to_pylist()]
    named = "platform" in batch.schema.names
    return list(zip(lines, batch["platform"].to_pylist() if named else [None] * len(lines), strict=True))


# ---------------------------------------------------------------- timing


def in_turn(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int, clock: Callable[[], float] = time.process_time
) -> tuple[float, float]:
    """Median seconds of each, run alternately."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for which, function in enumerate((ours, peer)):
            start = clock()
            function()
            times[which].append(clock() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and lines for the peers: under 50 seconds")
    parser.add_argument("--json", metavar="FILE", help="write the table there too")
    parser.add_argument("--lines", metavar="FILE", help="a Parquet file with command_line instead of made lines")
    args = parser.parse_args()
    pa.set_cpu_count(1)
    threadpool_limits(1)
    rounds, few, some = (3, 1_000, 8_192) if args.quick else (7, 4_000, 32_768)

    batch = read_lines(args.lines, BATCH) if args.lines else make_lines(BATCH)
    n = batch.num_rows
    few_lines, some_lines = batch.slice(0, few), batch["command_line"].slice(0, some)
    few, some = len(few_lines), len(some_lines)
    rules = RuleSet.bundled("behaviours")
    maker = FeatureMaker(behaviours=rules)
    start = time.perf_counter()
    maker.fit(batch.slice(0, 10)).matrix(batch.slice(0, 10))
    first_use = time.perf_counter() - start
    check_answers(maker, few_lines, rules)
    maker.fit(batch)
    plain = PlainFeatures(rules)
    plain.fit([line for line, _ in rows_of(few_lines)])

    lines, places = batch["command_line"], batch["platform"] if "platform" in batch.schema.names else None
    few_rows = rows_of(few_lines)
    one, two = DuckDB(some_lines, rules, 1), DuckDB(some_lines, rules, 2)
    cases = [
        ("all features", lambda: maker.matrix(batch), n, lambda: [plain.row(*r) for r in few_rows], "python", few),
        (
            "characters, words, rarity",
            lambda: measure_lines(maker, lines, len(maker.feature_names)),
            n,
            lambda: [plain.text(line) for line, _ in few_rows],
            "python",
            few,
        ),
        ("checks", lambda: rules.match(lines), n, lambda: [plain.matches(*r) for r in few_rows], "re", few),
        ("checks", lambda: rules.match(lines), n, one, "duckdb", some),
        ("checks", lambda: rules.match(lines), n, lambda: match_everywhere(some_lines, rules.rules), "re2", some),
        (
            "fit",
            lambda: FeatureMaker(behaviours=rules).fit(batch),
            n,
            lambda: PlainFeatures(rules).fit([line for line, _ in few_rows]),
            "counter",
            few,
        ),
    ]
    rows = []
    for case, ours, our_n, peer, peer_name, peer_n in cases:
        mine, theirs = in_turn(ours, peer, rounds)
        rows.append(table_row(case, mine / our_n, theirs / peer_n, peer_name, n))
    with ThreadPoolExecutor(2) as pool:

        def both(function: Callable[[pa.RecordBatch], object]) -> Callable[[], object]:
            return lambda: list(pool.map(function, [batch, batch]))

        def checks(part: pa.RecordBatch) -> object:
            return rules.match(part["command_line"])

        for case, ours, peer, peer_name, peer_n in (
            ("all features, 2 threads", both(maker.matrix), lambda: maker.matrix(batch), "ours, 1 thread", n),
            ("checks, 2 threads", both(checks), two, "duckdb, 2", some),
        ):
            mine, theirs = in_turn(ours, peer, rounds, time.perf_counter)
            row = table_row(case, mine / (2 * n), theirs / peer_n, peer_name, n)
            rows.append(row | {"unit": "lines per second"})

    gate, decode = in_turn(
        lambda: suspects(lines, places), lambda: hidden_columns(maker, batch, len(maker.feature_names)), rounds
    )
    hidden = find_hidden(lines, places)
    hiding = len(np.unique(hidden.row)) / n
    result = {
        "name": "features",
        "machine": ", ".join(
            (platform.machine(), f"{os.cpu_count()} cores", platform.system(), f"Python {platform.python_version()}")
        ),
        "rows": rows,
        "memory_mb": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
        ),
        "bytes_per_line": round(sum(len(line.encode()) for line, _ in rows_of(batch)) / max(1, n)),
        "columns": len(maker.feature_names),
        "first_use_s": round(first_use, 2),
        "hidden": {
            "share_suspect": round(float(suspects(lines, places).mean()), 5),
            "share_hiding": round(hiding, 5),
            "gate_us_per_line": round(gate / n * 1e6, 2),
            "all_us_per_line": round(decode / n * 1e6, 2),
        },
    }
    show(result)
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def measure_lines(maker: FeatureMaker, lines: pa.Array, columns: int) -> None:
    """What the kernels do for the lines themselves."""
    from cmdclf.features._kernels import measure
    from cmdclf.rules.buffers import string_buffers

    out = np.zeros((len(lines), columns), np.float32)
    measure(*string_buffers(lines), out)
    maker.rarity_.measure(*string_buffers(lines), out)


def hidden_columns(maker: FeatureMaker, batch: pa.RecordBatch, columns: int) -> None:
    """What is done for hidden text, the checks of its layers aside."""
    places = batch["platform"] if "platform" in batch.schema.names else None
    hidden = find_hidden(batch["command_line"], places)
    measure_hidden(hidden, maker.rarity_, np.zeros((batch.num_rows, columns), np.float32), columns - 100)


def table_row(case: str, mine: float, theirs: float, peer_name: str, n: int) -> dict[str, object]:
    return {
        "case": case,
        "ours": round(1 / mine),
        "peer": round(1 / theirs),
        "peer_name": peer_name,
        "ratio": round(theirs / mine, 1),
        "unit": "lines per CPU second",
        "n": n,
    }


def show(result: dict) -> None:
    print(f"{'case':<27}{'ours':>10}{'peer':>10}  {'peer is':<15}{'ratio':>7}  unit")
    for row in result["rows"]:
        numbers = f"{row['case']:<27}{row['ours']:>10,}{row['peer']:>10,}"
        print(f"{numbers}  {row['peer_name']:<15}{row['ratio']:>7}  {row['unit']}")
    hidden = result["hidden"]
    print(
        f"{result['columns']} columns, {result['bytes_per_line']} bytes a line, first use {result['first_use_s']} s, "
        f"memory {result['memory_mb']} MB, {result['machine']}"
    )
    print(
        f"{hidden['share_hiding']:.2%} of the lines hide something, {hidden['share_suspect']:.2%} were decoded: "
        f"{hidden['all_us_per_line']} us a line over all lines, {hidden['gate_us_per_line']} of them to find them"
    )


if __name__ == "__main__":
    sys.exit(main())
