from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from cmdclf.labels.audit import agreement
from cmdclf.resources import data_path
from cmdclf.study import load_study
from cmdclf.study.demo import prepare_demo
from cmdclf.telemetry import command_ids


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    prepare_demo(folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def ledger():
    return pq.read_table(data_path("ledger", "demo.parquet"))


def _content(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_demo_study_is_valid_and_asks_the_recorded_ledger(demo):
    config = load_study(demo / "study.toml")
    assert (config.data.train_days, config.data.test_days) == (31, 21)
    assert config.labels.judge == "recorded"
    assert config.labels.match == "masked"


def test_preparing_the_demo_again_gives_the_same_bytes(demo, tmp_path):
    prepare_demo(tmp_path, progress=False)
    assert _content(tmp_path) == _content(demo)


def test_the_recorded_ledger_is_about_lines_of_the_demos_month(demo, ledger):
    truth = pq.read_table(demo / "lake.truth.parquet")
    known = pc.is_in(ledger["command_id"], value_set=truth["command_id"].combine_chunks())
    # Some were judged for an earlier rendering of the month; they still answer by masked text.
    assert pc.mean(known.cast(pa.float64())).as_py() > 0.85


def test_the_ledgers_ids_are_those_of_its_lines_and_each_line_is_judged_once(ledger):
    ids = command_ids(ledger["platform"].combine_chunks(), ledger["command_line"].combine_chunks())
    assert ids.equals(ledger["command_id"].combine_chunks())
    assert pc.count_distinct(ids).as_py() == ledger.num_rows
    assert set(ledger["verdict"].to_pylist()) == {"benign", "malicious", "unsure"}


def test_the_recorded_judges_benign_verdicts_are_right_but_for_a_few(demo, ledger):
    found = agreement(ledger, pq.read_table(demo / "lake.truth.parquet"))
    assert found.benign_said > 1000
    assert found.interval[0] > 0.99
    assert found.confusion["malicious", "malicious"] > 3 * found.confusion["malicious", "unsure"]


def test_no_line_of_the_incident_test_is_in_the_month(demo):
    incident = pq.read_table(demo / "incident.parquet")
    truth = pq.read_table(demo / "lake.truth.parquet")
    assert not set(incident["group_id"].to_pylist()) & set(truth["group_id"].to_pylist())
    assert not pc.any(pc.is_in(incident["command_line"], value_set=truth["command_line"].combine_chunks())).as_py()
