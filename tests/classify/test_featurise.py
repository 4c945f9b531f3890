from __future__ import annotations

import base64

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.classify import Scorer
from cmdclf.features.embed_layers import with_layers
from cmdclf.lines import DecodedBatch

SECRET = base64.b64encode("whoami /all".encode("utf-16le")).decode()
LINES = st.one_of(
    st.sampled_from(
        [
            f"powershell -enc {SECRET}",
            "cmd /c who^ami & n`et user",
            r"C:\Windows\system32\cmd.exe /c se^t x=1",
            r"\w\h\o\a\m\i; echo d2hvYW1p | base64 -d | sh",
            "{cat,/etc/passwd} && w'h'o''ami",
            "/Applications/x.app/Contents/MacOS/x $(echo -e '\\x77\\x68\\x6f')",
            "ls -la",
            "",
            "É ß İ \u1e9e",
            "x" * 5000,
            "net\tuser  bob /add",
            r"dir C:\PROGRA~1\.\x",
            "sh -c 'cat /etc//passwd /./x'",
            # Longer than what is put first of a layer: without one, with one, with a word in its place only.
            "a" * 70_000 + "; w^hoami | $@",
            "echo sl | rev | sh; " + "z" * 2000,
            "/usr/bin/w?oami " + "y" * 2000,
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
PLATFORMS = st.sampled_from(["windows", "linux", "macos"])


def plain(featuriser, batch):
    """The matrix part by part, each part decoding for itself."""
    text = batch["command_line"]
    parts = [featuriser.maker.matrix(batch), featuriser.embedder.embed(text)]
    return np.column_stack([*parts, featuriser.grams.decision_function(text).astype(np.float32)])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(LINES, PLATFORMS), max_size=20))
def test_decoding_once_gives_the_bits_of_decoding_for_each_part_in_a_batch_and_alone(small, rows):
    batch = pa.record_batch(
        {
            "command_line": pa.array([line for line, _ in rows], pa.string()),
            "platform": pa.array([platform for _, platform in rows], pa.string()),
        }
    )
    whole = small.featuriser.matrix(batch)
    assert whole.flags["C_CONTIGUOUS"]
    assert np.array_equal(whole, plain(small.featuriser, batch))
    for k in range(len(rows)):
        assert np.array_equal(whole[k : k + 1], small.featuriser.matrix(batch.slice(k, 1)))


def test_only_its_own_layer_stands_before_a_long_line():
    long = "y" * 2000
    layers = np.array([1, 2], np.int32), np.zeros(2, np.int8), np.ones(2, np.int8), pa.array(["whoami", "id"])
    rows = np.array([0, 1, 2, 3], np.int32)
    restated = pa.array([long, f"{long}; whoami", f"id; {long}", long])
    decoded = DecodedBatch(*layers, np.zeros(5, np.bool_), rows, restated)
    read = with_layers(pa.array(["a", "b", "c", "d", "e"]), decoded).to_pylist()
    assert read == [long, f"whoami {long}; whoami", f"id; {long}", long, "e"]


def test_what_embedder_and_n_grams_read_goes_by_the_guess_and_not_by_the_record(small):
    line = r"C:\Windows\system32\cmd.exe /c who^am^i"
    texts = pa.array(["ls", line, line, "ls"])
    batch = pa.record_batch({"command_line": texts, "platform": pa.array(["linux", "linux", "windows", "linux"])})
    assert with_layers(texts)[1].as_py().endswith("/c whoami")
    matrix = small.featuriser.matrix(batch)
    first = small.featuriser.maker.width
    assert np.array_equal(matrix[1, first:], matrix[2, first:])
    assert not np.array_equal(matrix[1, :first], matrix[2, :first])


def test_a_score_is_the_same_alone_in_a_batch_and_on_several_threads(small):
    texts = [f"{name} -x{n} https://example.com/{n % 7}" for n in range(300) for name in ("curl", "C:\\a.exe")]
    batch = pa.record_batch({"command_line": pa.array(texts), "platform": pa.array(["linux", "windows"] * 300)})
    one, three = (Scorer.load(small.folder, threads=n) for n in (1, 3))
    scores = one.probabilities(batch)
    assert np.array_equal(three.probabilities(batch), scores)
    for k in range(0, 600, 75):
        assert one.probabilities(batch.slice(k, 1))[0] == scores[k]


@pytest.mark.parametrize("n", [1, 15, 16, 17, 40])
def test_few_rows_and_many_give_the_same_rows(small, n):
    rows = small.batch.slice(3, n)
    assert np.array_equal(small.featuriser.matrix(rows), small.matrix[3 : 3 + n])
