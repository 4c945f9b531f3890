from __future__ import annotations

import dataclasses
import shutil

import pytest

from cmdclf.study import load_study
from cmdclf.study.runner import open_workplace
from cmdclf.study.sieve import find_anomalies, group_anomalies, stored_groups, take_in_days


class Counted:
    """The study's embedder, with the number of lines that it was given."""

    def __init__(self, embedder):
        self._embedder = embedder
        self.name, self.dim, self.manifest = embedder.name, embedder.dim, embedder.manifest
        self.lines = 0

    def embed(self, lines):
        self.lines += len(lines)
        return self._embedder.embed(lines)


def sieved(small_study, out, days):
    """The groups of so many training days, and the number of lines that were embedded for them."""
    config = load_study(small_study)
    data = dataclasses.replace(config.data, train_days=days, test_days=0)
    full = dataclasses.replace(config.full, n_estimators=3, sample_rows=200)
    w = open_workplace(dataclasses.replace(config, data=data, full=full), out)
    with w.store:
        take_in_days(w)
        find_anomalies(w)
        w.__dict__["embedder"] = counted = Counted(w.embedder)
        group_anomalies(w)
        return stored_groups(w), counted.lines


@pytest.fixture(scope="module")
def whole(small_study, tmp_path_factory):
    """The groups of two days that were grouped in one run, and what they took."""
    return sieved(small_study, tmp_path_factory.mktemp("whole"), 2)


@pytest.fixture(scope="module")
def monday(small_study, tmp_path_factory):
    """A study's folder after its first day, and that day's groups."""
    out = tmp_path_factory.mktemp("monday")
    return out, sieved(small_study, out, 1)[0]


def test_a_later_day_goes_on_from_the_index_as_if_there_had_been_one_run(small_study, whole, monday, tmp_path, capsys):
    out = shutil.copytree(monday[0], tmp_path / "out")
    first = monday[1].num_rows
    assert whole[0].slice(0, first).equals(monday[1])
    groups, embedded = sieved(small_study, out, 2)
    assert groups.equals(whole[0])
    assert embedded == whole[1] - first > 0
    assert "anew" not in capsys.readouterr().err
    # Nothing is left to do, and no vector is needed.
    assert sieved(small_study, out, 2)[1] == 0


@pytest.mark.parametrize("file", ["part-*", "manifest.json"])
def test_a_damaged_index_is_made_anew_from_the_store_and_counted(small_study, whole, monday, tmp_path, capsys, file):
    out = shutil.copytree(monday[0], tmp_path / "out")
    path = next((out / "representatives").glob(file))
    path.write_bytes(path.read_bytes()[:-9])
    capsys.readouterr()
    groups, embedded = sieved(small_study, out, 2)
    leaders = sum(row["command_id"] == row["representative_id"] for row in monday[1].to_pylist())
    assert groups.equals(whole[0])
    assert embedded == whole[1] - monday[1].num_rows + leaders
    assert f"{leaders:,} of {leaders:,} representatives were embedded anew" in capsys.readouterr().err
