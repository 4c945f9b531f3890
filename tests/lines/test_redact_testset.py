"""The published test set: what was found once stays found, and the gate changes nothing on any of its lines."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pyarrow as pa
import pytest

from cmdclf.lines import redact, redact_hidden, redact_hidden_batch

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "redaction.py"
PARTS = sorted(p.name.removesuffix("-secrets.jsonl") for p in BENCHMARK.with_suffix("").glob("*-secrets.jsonl"))


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_redaction", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("part", PARTS)
def test_nearly_all_secrets_are_found_and_nearly_no_clean_line_is_touched(benchmark, part):
    counts = benchmark.of_part(part)
    assert counts["found"] >= 0.98 * counts["secrets"]
    assert counts["hits"] <= 0.005 * counts["clean"]
    assert counts["beside"] <= 0.02 * counts["lines"]


@pytest.mark.parametrize("part", PARTS)
def test_the_marked_secrets_stand_in_their_lines_and_no_line_occurs_twice(benchmark, part):
    rows = benchmark.rows(f"{part}-secrets.jsonl")
    assert all(secret and secret in row["line"] for row in rows for secret in row["secrets"])
    lines = [json.dumps(row["line"]) for row in rows + benchmark.rows(f"{part}-clean.jsonl")]
    assert len(set(lines)) == len(lines)


def test_the_gate_changes_nothing_and_batches_equal_single_lines(benchmark):
    rows = [row for part in PARTS for kind in ("secrets", "clean") for row in benchmark.rows(f"{part}-{kind}.jsonl")]
    for row in rows[::23]:
        assert redact(row["line"]) == redact(row["line"], gated=False)
    some = rows[::7]
    lines, where = pa.array([r["line"] for r in some]), pa.array([r["platform"] for r in some])
    texts, kinds = redact_hidden_batch(lines, where)
    shown = [redact_hidden(r["line"], r["platform"]) for r in some]
    hidden = [row for row, one in enumerate(shown) if one.text != texts[row].as_py()]
    # A batch decodes only what may hide text: what an inner shell shows word for word stays as it is.
    assert all("<secret:" in texts[row].as_py() or kinds[row].as_py() == [] for row in hidden)
    assert len(hidden) <= 0.01 * len(some)


def test_redacting_the_test_set_again_changes_nothing(benchmark):
    for part in PARTS:
        for row in benchmark.rows(f"{part}-secrets.jsonl")[::3]:
            once = redact(row["line"]).text
            assert redact(once).text == once
