import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.cli import main
from cmdclf.dedup.calibrate import PAIRS, calibrate, read_pairs
from cmdclf.errors import CmdclfError
from cmdclf.resources import data_path


def pairs(same=60, different=60):
    rows = [
        {"platform": "linux", "a": f"app --pid={i}", "b": f"app --pid={i + 1000}", "same": True} for i in range(same)
    ]
    rows += [{"platform": "linux", "a": f"rm /srv/{c}", "b": f"ls /srv/{c}", "same": False} for c in range(different)]
    return pa.Table.from_pylist(rows, PAIRS)


def test_the_highest_threshold_that_costs_next_to_nothing_is_chosen():
    cosine = np.array([0.9] * 60 + [0.95] * 60)
    found = calibrate(pairs(), cosine)
    assert found.chosen == 0.9
    assert found.joined_different.max() == 0  # another verb: the behaviour differs, however near the vectors
    assert found.near_different[found.thresholds <= 0.95].min() == 60


def test_pairs_that_agree_in_behaviour_and_yet_differ_push_the_threshold_up():
    table = pairs().to_pylist()
    table += [{"platform": "linux", "a": "x --pid=1", "b": "x --pid=2", "same": False}] * 10
    found = calibrate(pa.Table.from_pylist(table, PAIRS), np.array([0.9] * 60 + [0.2] * 60 + [0.8] * 10))
    assert found.chosen is not None
    assert 0.8 < found.chosen <= 0.9
    hopeless = calibrate(pa.Table.from_pylist(table, PAIRS), np.array([0.9] * 60 + [0.2] * 60 + [1.0] * 10))
    assert hopeless.chosen is None


def test_too_few_pairs_say_so():
    with pytest.raises(CmdclfError, match="at least 50"):
        calibrate(pairs(same=10), np.zeros(70))


def test_the_bundled_pairs_are_decided_as_promised():
    table, left_out = read_pairs(data_path("pairs", "near.jsonl"))
    assert left_out == 0
    assert table.num_rows >= 500
    found = calibrate(table, np.ones(table.num_rows))
    assert found.joined_same[0] / found.same >= 0.85
    assert found.joined_different[0] / found.different <= 0.02


def test_the_command_prints_what_to_take(tmp_path, capsys):
    path = tmp_path / "pairs.parquet"
    pq.write_table(pairs(), path)
    assert main(["dedup", "--calibrate", str(path), "--out", str(tmp_path / "c.json")]) == 0
    assert "study.threshold_cosine" in capsys.readouterr().out
    assert json.loads((tmp_path / "c.json").read_text())["same"] == 60


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json\n", "row 1: the row is not JSON"),
        ("[1]\n", "the row is no JSON object"),
        ('{"a": 1}\n', "no row holds platform, a, b"),
    ],
)
def test_bad_pairs_are_named(tmp_path, capsys, text, words):
    path = tmp_path / "pairs.jsonl"
    path.write_text(text)
    assert main(["dedup", "--calibrate", str(path)]) == 2
    assert words in capsys.readouterr().err


def test_a_missing_file_and_an_odd_share_are_refused(tmp_path, capsys):
    assert main(["dedup", "--calibrate", str(tmp_path / "none.jsonl")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["dedup", "--calibrate", "--most-wrong", "7"]) == 2
    assert "is no share" in capsys.readouterr().err
