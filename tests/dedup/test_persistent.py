import hashlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.dedup import KnownGroups, RepresentativeIndex, near_duplicates, persistent
from cmdclf.dedup import groups as groups_module
from cmdclf.dedup._small_worlds import group_small_worlds
from cmdclf.errors import StoreError

DIM = 6


def lines(n, seed=0):
    """Lines with ids, their vectors and behaviours; many are near each other."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (n, DIM)) + rng.normal(0, 0.05, (n, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids = [hashlib.sha256(f"{seed} {i}".encode()).hexdigest()[:32] for i in range(n)]
    words = ["".join(chr(97 + int(d)) for d in str(i * 7919)) for i in range(n)]
    table = pa.table({"command_id": ids, "platform": ["linux"] * n, "command_line": words})
    return table, vectors, pa.array([str(w) for w in rng.integers(0, 3, n)])


def opened(folder, **more):
    return RepresentativeIndex.open(folder, embedder="e", dim=DIM, **more)


def filled(folder, *days):
    with opened(folder) as index:
        for day in days:
            table, vectors, does = day
            index.group(table, vectors, behaviours=does, threshold=0.9)
            index.save()
        return index.known


def same(a, b):
    texts = all(getattr(a, name).equals(getattr(b, name)) for name in ("ids", "platforms", "behaviours", "masks"))
    return texts and np.array_equal(a.vectors, b.vectors)


def store_of(*days):
    """What a store gives: representatives by their ids."""
    every = [KnownGroups.from_lines(*day) for day in days]
    known = KnownGroups.concat(every)
    asked = []

    def make(ids):
        asked.append(len(ids))
        return known.take(pa.compute.index_in(ids, value_set=known.ids).to_numpy())

    return make, asked


@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.booleans())
@settings(max_examples=10)
def test_days_in_several_processes_give_what_they_give_in_one(tmp_path_factory, sizes, compacted):
    folder = tmp_path_factory.mktemp("index")
    made = [lines(n, seed) for seed, n in enumerate(sizes)]
    known = KnownGroups.empty(DIM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(persistent, "_MOST_PARTS", 1 if compacted else 64)
        for table, vectors, does in made:
            expected = near_duplicates(table, vectors, behaviours=does, threshold=0.9, known=known)
            known = known.extended(table, vectors, expected, does)
            with opened(folder) as index:
                assert index.group(table, vectors, behaviours=does, threshold=0.9).equals(expected)
                index.save()
    with opened(folder) as index:
        assert same(index.known, known)
        assert index.notice == ""
    if compacted:
        assert len(list(folder.glob("part-*"))) <= 1


def test_what_was_not_saved_is_not_there(tmp_path):
    known = filled(tmp_path / "index", lines(30))
    with opened(tmp_path / "index") as index:
        table, vectors, does = lines(30, 1)
        index.group(table, vectors, behaviours=does)
        assert len(index.known) > len(known)
    with opened(tmp_path / "index") as index:
        assert same(index.known, known)


@pytest.mark.parametrize(
    ("key", "asked"), [("embedder", {"embedder": "other", "dim": DIM}), ("dim", {"embedder": "e", "dim": 9})]
)
def test_an_index_never_takes_the_vectors_of_another_model(tmp_path, key, asked):
    filled(tmp_path, lines(30))
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(StoreError, match=rf"made with {key} .* --rebuild") as error:
        RepresentativeIndex.open(tmp_path, **{"embedder": "e", "dim": DIM, key: {"embedder": "other", "dim": 9}[key]})
    assert str(tmp_path) in str(error.value)
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_an_index_of_another_version_of_the_behaviour_keys_is_refused(tmp_path, monkeypatch):
    filled(tmp_path, lines(30))
    monkeypatch.setattr(persistent, "behaviour_version", lambda: "another")
    with pytest.raises(StoreError, match="behaviour_version"):
        opened(tmp_path)


def _lose(path):
    path.unlink()


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-9])


def _flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def _empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [_lose, _truncate, _flip, _empty])
@pytest.mark.parametrize("which", ["manifest.json", "part-*"])
def test_a_damaged_index_is_an_error_and_made_anew_from_a_store(tmp_path, harm, which):
    days = lines(30), lines(20, 1)
    known = filled(tmp_path, *days)
    harm(sorted(tmp_path.glob(which))[0])
    with pytest.raises(StoreError, match="--rebuild"):
        opened(tmp_path)
    make, asked = store_of(*days)
    with opened(tmp_path, expected=known.ids, make=make) as index:
        assert same(index.known, known)
        assert asked == [len(known)]
        assert f"{len(known)} of {len(known)} representatives were embedded anew" in index.notice
        index.save()
    with opened(tmp_path, expected=known.ids, make=make) as index:
        assert same(index.known, known)
        assert index.notice == ""
    assert asked == [len(known)]


def test_only_what_the_index_lacks_is_asked_of_the_store(tmp_path):
    days = lines(30), lines(20, 1)
    first = filled(tmp_path, days[0])
    known = filled(tmp_path / "both", *days)
    make, asked = store_of(*days)
    with opened(tmp_path / "one", expected=first.ids, make=make) as index:
        index.save()
    asked.clear()
    # A day is missing; then one too many; then another order.
    for expected in (known, first, known.take(np.arange(len(known))[::-1])):
        with opened(tmp_path / "one", expected=expected.ids, make=make) as index:
            assert same(index.known, expected)
            index.save()
        with opened(tmp_path / "one") as index:
            assert same(index.known, expected)
    assert asked == [len(known) - len(first)] * 2


def test_another_model_s_index_beside_a_store_is_made_anew(tmp_path):
    known = filled(tmp_path, lines(30))
    make, asked = store_of(lines(30))
    with RepresentativeIndex.open(tmp_path, embedder="other", dim=DIM, expected=known.ids, make=make) as index:
        assert asked == [len(known)]
        assert "embedder" in index.notice


def test_rebuild_keeps_the_old_state_until_it_is_saved(tmp_path):
    known = filled(tmp_path, lines(30))
    with opened(tmp_path, anew=True) as index:
        assert len(index.known) == 0
    with opened(tmp_path) as index:
        assert same(index.known, known)
    with opened(tmp_path, anew=True) as index:
        index.save()
    with opened(tmp_path) as index:
        assert len(index.known) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lock", "manifest.json"]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(StoreError, match="not the manifest of an index"):
        opened(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"x")
    for anew in (False, True):
        with pytest.raises(StoreError, match="something else"):
            opened(tmp_path, anew=anew)
    with pytest.raises(StoreError, match="folder"):
        opened(tmp_path / "model.onnx")


def test_two_at_once_are_refused(tmp_path):
    with opened(tmp_path), pytest.raises(StoreError, match="another process"):
        opened(tmp_path)
    opened(tmp_path).close()


# A second save that is killed at its n-th rename: tmp -> part, tmp -> manifest.
KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_persistent import opened, lines
left, replace = {left}, os.replace
def dying(*args):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*args)
table, vectors, does = lines(25, 1)
with opened({folder!r}) as index:
    index.group(table, vectors, behaviours=does, threshold=0.9)
    os.replace = dying
    index.save()
"""


def test_a_save_that_is_killed_leaves_the_earlier_state_and_the_next_one_clears_up(tmp_path):
    known = filled(tmp_path / "index", lines(30))
    for left in (0, 1):
        code = KILLED.format(tests=os.path.dirname(__file__), left=left, folder=str(tmp_path / "index"))
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
        with opened(tmp_path / "index") as index:
            assert same(index.known, known)
            assert index.notice == ""
    assert len(list((tmp_path / "index").iterdir())) > 3
    both = filled(tmp_path / "index", lines(25, 1))
    assert len(both) > len(known)
    listed = json.loads((tmp_path / "index" / "manifest.json").read_text())
    assert sorted(p.name for p in (tmp_path / "index").glob("part-*")) == sorted(name for name, _ in listed["parts"])
    assert len(list((tmp_path / "index").iterdir())) == 2 + len(listed["parts"])


def test_graphs_are_kept_and_made_anew_when_they_are_lost(tmp_path, monkeypatch):
    # Worlds and granules of a test's size.
    monkeypatch.setattr(groups_module, "group_small_worlds", lambda *args: group_small_worlds(*args, 5))
    near = groups_module.NearIndex
    monkeypatch.setattr(groups_module, "NearIndex", lambda dim, **more: near(dim, granule=64, **more))
    rng = np.random.default_rng(2)
    days = []
    for day in range(3):
        vectors = rng.normal(size=(200, DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        table, _, _ = lines(200, day)
        days.append((table, vectors, pa.array(["x"] * 200)))

    def grouped(folder, day):
        table, vectors, does = day
        with opened(folder) as index:
            groups = index.group(table, vectors, behaviours=does, threshold=0.98, exact_limit=50)
            index.save()
            return groups, index.notice

    whole = [grouped(tmp_path / "whole", day)[0] for day in days]
    assert len(list((tmp_path / "whole").glob("graph-*"))) == 4
    for harm in (_lose, _flip):
        folder = tmp_path / harm.__name__
        found = []
        for day in days:
            for path in sorted(folder.glob("graph-*"))[:1]:
                harm(path)
            groups, notice = grouped(folder, day)
            found.append(groups)
            assert ("1 files of graphs" in notice) == (len(found) > 1)
        assert all(a.equals(b) for a, b in zip(found, whole, strict=True))
    # Without an index, in the order in which representatives came.
    known = KnownGroups.empty(DIM)
    for (table, vectors, does), expected in zip(days, whole, strict=True):
        groups = near_duplicates(table, vectors, behaviours=does, threshold=0.98, exact_limit=50, known=known)
        assert groups.equals(expected)
        known = known.extended(table, vectors, groups, does)
