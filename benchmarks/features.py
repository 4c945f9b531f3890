"""Hand-engineered features and behavioural checks: lines a second on one core, ours against plain Python and RE2.

    python benchmarks/features.py [--quick] [--json FILE] [--lines FILE.parquet]

The input is made from ordinary command lines with changing parts and, one in twenty, an example of the behavioural
checks; --lines takes the column command_line (and platform) of a Parquet file instead. Each case runs ours and its
peer in turn on the same lines, several times, on one thread; the table gives medians of CPU time, so that other work on
the machine disturbs little. Loops that are hundreds of times slower are timed on every eighth of the lines. Answers are
compared before the clock starts. Peers:
  python   the same columns (a subset of ours) by a loop over rows with collections.Counter and re
  re       the behavioural checks by a loop over rows and compiled patterns of the module re
  re2      the behavioural checks by pyarrow.compute.match_substring_regex on every row, without our prefilter
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import re
import resource
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from cmdclf.features import FeatureMaker
from cmdclf.features._kernels import measure
from cmdclf.rules import RuleSet
from cmdclf.rules.buffers import as_string_array, string_buffers
from cmdclf.rules.engine import match_everywhere

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


# ---------------------------------------------------------------- the plain loop

_TOKEN = re.compile(rb"[A-Za-z0-9_.\-\x80-\xff]+")
_RUNS = {
    "run_base64": re.compile(rb"[A-Za-z0-9+/=]+"),
    "run_hex": re.compile(rb"[0-9a-fA-F]+"),
    "run_digit": re.compile(rb"[0-9]+"),
    "run_upper": re.compile(rb"[A-Z]+"),
    "run_letter": re.compile(rb"[A-Za-z]+"),
    "run_nospace": re.compile(rb"[^ \t\n\v\f\r]+"),
}
_META = [
    (name, ord(char)) for char, name in
         (("\"", "double_quote"), ("'", "single_quote"), ("|", "pipe"), ("&", "ampersand"), (";", "semicolon"),
          ("<", "less"), (">", "greater"), ("$", "dollar"), ("%", "percent"), ("^", "caret"), ("`", "backtick"),
          ("=", "equals"), ("+", "plus"), ("/", "slash"), ("\\", "backslash"), ("-", "dash"), (":", "colon"))
]  # fmt: skip
PEER_COLUMNS = [
    "length_bytes", "entropy", "distinct_bytes", "n_upper", "n_lower", "n_digit", "n_space", "n_nonascii",
    "ratio_upper", "ratio_lower", "ratio_digit", *(f"n_{name}" for name, _ in _META), *_RUNS,
    "n_words", "word_mean", "n_urls",
    "n_tokens", "token_mean", "token_max",
]  # fmt: skip


def python_loop(lines: list[str]) -> np.ndarray:
    out = []
    for line in lines:
        data = line.encode()
        size = len(data)
        count = Counter(data)
        entropy = math.log2(size) - sum(c * math.log2(c) for c in count.values()) / size if size else 0.0
        upper = sum(c for b, c in count.items() if 65 <= b <= 90)
        lower = sum(c for b, c in count.items() if 97 <= b <= 122)
        digit = sum(c for b, c in count.items() if 48 <= b <= 57)
        space = sum(c for b, c in count.items() if b in b" \t\n\v\f\r")
        other = sum(c for b, c in count.items() if b > 127)
        row = [size, entropy, len(count), upper, lower, digit, space, other]
        row += [upper / size, lower / size, digit / size] if size else [0, 0, 0]
        row += [count[byte] for _, byte in _META]
        words: list[bytes] = []
        for pattern in _RUNS.values():
            words = pattern.findall(data)
            row.append(max(map(len, words), default=0))
        row += [len(words), sum(map(len, words)) / len(words) if words else 0, data.count(b"://")]
        tokens = [len(token) for token in _TOKEN.findall(data)]
        row += [len(tokens), sum(tokens) / len(tokens) if tokens else 0, max(tokens, default=0)]
        out.append(row)
    return np.array(out, np.float32)


def re_loop(lines: list[str], patterns: list[re.Pattern[str]]) -> np.ndarray:
    return np.array([[pattern.search(line) is not None for pattern in patterns] for line in lines], np.uint8)


# ---------------------------------------------------------------- timing


def in_turn(ours, peer, rounds: int) -> tuple[float, float]:
    """Median CPU seconds of each, run alternately."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for which, function in enumerate((ours, peer)):
            start = time.process_time()
            function()
            times[which].append(time.process_time() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer lines and rounds: under 50 seconds on 2 cores")
    parser.add_argument("--json", metavar="FILE", help="write the table there too")
    parser.add_argument("--lines", metavar="FILE", help="a Parquet file with command_line instead of made lines")
    args = parser.parse_args()
    pa.set_cpu_count(1)
    threadpool_limits(1)
    n, rounds = (8_000, 3) if args.quick else (65_536, 5)

    batch = read_lines(args.lines, n) if args.lines else make_lines(n)
    n = batch.num_rows
    lines = batch["command_line"]
    texts = lines.to_pylist()
    rules = RuleSet.bundled("behaviours")
    maker = FeatureMaker(behaviours=rules)
    start = time.perf_counter()
    maker.fit(batch.slice(0, 10)).matrix(batch.slice(0, 10))
    first_use = time.perf_counter() - start
    maker.fit(batch)

    buffers = string_buffers(lines)
    at = [maker.feature_names.index(name) for name in PEER_COLUMNS]
    whole = maker.matrix(batch)
    if not np.allclose(whole[:, at], python_loop(texts), rtol=1e-5, atol=1e-4):
        raise SystemExit("our columns are not those of the plain loop")
    matched = rules.match(lines)
    if not np.array_equal(matched, match_everywhere(lines, rules.rules)):
        raise SystemExit("our matches are not those of RE2")
    patterns = [re.compile(rule.regex, 0 if rule.case else re.IGNORECASE) for rule in rules.rules]
    ascii_rows = pc.equal(pc.utf8_length(lines), pc.binary_length(lines)).to_numpy(zero_copy_only=False)
    ascii_rows = np.flatnonzero(ascii_rows)[::8]  # re and RE2 mean other things by \b and \w beyond ASCII
    if not np.array_equal(matched[ascii_rows], re_loop([texts[k] for k in ascii_rows], patterns)):
        raise SystemExit("our matches are not those of re")

    def kernels() -> None:
        out = np.zeros(whole.shape, np.float32)
        measure(*buffers, out)
        maker.rarity_.measure(*buffers, out)

    few = texts[::8]

    def python_all() -> None:
        python_loop(few)
        re_loop(few, patterns)

    cases = [
        ("characters, words, rarity", kernels, lambda: python_loop(texts), "python", n),
        ("behavioural checks", lambda: rules.match(lines), lambda: re_loop(few, patterns), "re", len(few)),
        ("behavioural checks", lambda: rules.match(lines), lambda: match_everywhere(lines, rules.rules), "re2", n),
        ("all features", lambda: maker.matrix(batch), python_all, "python + re", len(few)),
    ]
    rows = []
    for case, ours, peer, peer_name, peer_n in cases:
        mine, theirs = in_turn(ours, peer, rounds)
        mine, theirs = mine / n, theirs / peer_n
        rows.append(
            {
                "case": case,
                "ours": round(1 / mine),
                "peer": round(1 / theirs),
                "peer_name": peer_name,
                "ratio": round(theirs / mine, 1),
                "unit": "lines per CPU second",
                "n": n,
            }
        )
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "name": "features",
        "machine": ", ".join(
            (platform.machine(), f"{os.cpu_count()} cores", platform.system(), f"Python {platform.python_version()}")
        ),
        "rows": rows,
        "memory_mb": round(usage / (1024 * 1024 if sys.platform == "darwin" else 1024)),
        "bytes_per_line": round(sum(map(len, map(str.encode, texts))) / max(1, n)),
        "columns": whole.shape[1],
        "first_use_s": round(first_use, 2),
    }
    print(f"{'case':<28}{'ours':>10}{'peer':>10}  {'peer is':<14}{'ratio':>7}   {rows[0]['unit']}, n = {n:,}")
    for row in rows:
        print(f"{row['case']:<28}{row['ours']:>10,}{row['peer']:>10,}  {row['peer_name']:<14}{row['ratio']:>7}")
    print(
        f"{result['columns']} columns, {result['bytes_per_line']} bytes a line, first use {result['first_use_s']} s, "
        f"memory {result['memory_mb']} MB, {result['machine']}"
    )
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
