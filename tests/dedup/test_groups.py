from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.dedup import GROUPS, KnownGroups, near_duplicates
from cmdclf.features.embedders import load_embedder
from cmdclf.telemetry import command_ids

TEXTS = [
    *(f"ping 192.0.2.{i} -n {i}" for i in range(6)),
    *(f"systemctl {verb} {unit}" for verb in ("start", "stop", "enable") for unit in ("nginx", "sshd", "cron")),
    *(f"docker run --rm -d -p 80{i}0:80 --name web{i} nginx:1.2{i}" for i in range(4)),
    *("net user bob /add", "net user carol /add", "NET USER carol /ADD", "net user bob /delete", "ls", "", "   "),
]
ROWS = st.lists(st.tuples(st.sampled_from(["windows", "linux"]), st.sampled_from(TEXTS)), max_size=40)


def table(rows):
    platform = pa.array([p for p, _ in rows], pa.string())
    lines = pa.array([t for _, t in rows], pa.string())
    return pa.table({"command_id": command_ids(platform, lines), "platform": platform, "command_line": lines})


@cache
def embedder():
    return load_embedder()


def embed(lines):
    return embedder().embed(lines["command_line"].combine_chunks())


def answers(groups):
    return {(r["command_id"], r["representative_id"], r["level"], round(r["cosine"], 6)) for r in groups.to_pylist()}


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_groups_do_not_depend_on_the_order_of_rows(rows, random):
    lines = table(rows)
    groups = near_duplicates(lines, embed(lines), threshold=0.9)
    random.shuffle(rows)
    shuffled = table(rows)
    assert answers(near_duplicates(shuffled, embed(shuffled), threshold=0.9)) == answers(groups)


@given(ROWS, st.floats(0.5, 0.99))
@settings(max_examples=60, deadline=None)
def test_each_row_keeps_the_promise_of_its_level(rows, threshold):
    lines = table(rows)
    vectors = embed(lines)
    groups = near_duplicates(lines, vectors, threshold=threshold)
    assert groups.schema == GROUPS
    assert groups["command_id"].to_pylist() == lines["command_id"].to_pylist()
    at = {id_: i for i, id_ in enumerate(lines["command_id"].to_pylist())}
    platforms = lines["platform"].to_pylist()
    leaders = set()
    for i, row in enumerate(groups.to_pylist()):
        leader = at[row["representative_id"]]
        leaders.add(leader)
        assert platforms[leader] == platforms[i]
        assert row["representative_id"] <= row["command_id"]
        if row["level"] == "exact":
            assert row["representative_id"] == row["command_id"]
        else:
            assert row["cosine"] == pytest.approx(float(vectors[i] @ vectors[leader]), abs=1e-5)
        if row["level"] == "cosine":
            assert row["cosine"] >= np.float32(threshold)
    # Representatives of one platform are no near-duplicates of each other.
    for a in leaders:
        for b in leaders:
            if a != b and platforms[a] == platforms[b]:
                assert float(vectors[a] @ vectors[b]) < threshold + 1e-5


def test_masked_lines_share_a_group_whatever_the_threshold():
    lines = table([("windows", "ping 192.0.2.7 -n 3"), ("windows", "ping 198.51.100.9 -n 44")])
    groups = near_duplicates(lines, embed(lines), threshold=1.0)
    assert sorted(groups["level"].to_pylist()) == ["exact", "masked"]
    assert len(set(groups["representative_id"].to_pylist())) == 1


def test_platforms_never_share_a_group():
    lines = table([("windows", "ping 192.0.2.7"), ("linux", "ping 192.0.2.7")])
    assert near_duplicates(lines, embed(lines))["level"].to_pylist() == ["exact", "exact"]


def test_a_line_joins_the_nearest_representative_and_ties_go_to_the_smallest_id():
    a, b = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    near_b = np.array([0.6, 0.8], np.float32)
    between = np.array([np.sqrt(0.5), np.sqrt(0.5)], np.float32)
    names = ["0a", "0b", "1x", "1y"]
    lines = pa.table({"command_id": names, "platform": ["linux"] * 4, "command_line": ["foo", "bar", "baz", "qux"]})
    groups = near_duplicates(lines, np.stack([a, b, near_b, between]), threshold=0.5)
    assert groups["representative_id"].to_pylist() == ["0a", "0b", "0b", "0a"]


@given(ROWS, ROWS)
@settings(max_examples=40, deadline=None)
def test_a_second_day_joins_the_first_and_asking_again_changes_nothing(first, second):
    monday, tuesday = table(first), table(second)
    groups = near_duplicates(monday, embed(monday), threshold=0.9)
    empty = KnownGroups.from_lines(monday.slice(0, 0), embed(monday.slice(0, 0)))
    known = empty.extended(monday, embed(monday), groups)
    representatives = set(groups["representative_id"].to_pylist())
    assert sorted(known.ids.to_pylist()) == sorted(representatives)
    again = near_duplicates(monday, embed(monday), threshold=0.9, known=known)
    assert set(again["representative_id"].to_pylist()) <= representatives
    later = near_duplicates(tuesday, embed(tuesday), threshold=0.9, known=known)
    both = known.extended(tuesday, embed(tuesday), later)
    assert len(set(both.ids.to_pylist())) == len(both.ids) == len(both.masks) == len(both.vectors)
    # An earlier representative keeps its place even where a new line has a smaller id.
    for row in later.to_pylist():
        if row["command_id"] in representatives:
            assert (row["representative_id"], row["level"]) == (row["command_id"], "exact")


def test_the_order_of_known_representatives_does_not_matter():
    lines = table([("linux", t) for t in TEXTS])
    known = KnownGroups.from_lines(lines, embed(lines))
    back = pa.array(range(len(lines) - 1, -1, -1))
    reverse = KnownGroups.from_lines(lines.take(back), embed(lines.take(back)))
    new = table(
        [("linux", "net user dave /add"), ("linux", "ping 203.0.113.5 -n 9"), ("linux", "systemctl start apache2")]
    )
    assert near_duplicates(new, embed(new), known=known).equals(near_duplicates(new, embed(new), known=reverse))


def test_thousands_of_lines_in_blocks_equal_a_plain_reading_of_the_rule():
    rng = np.random.default_rng(3)
    n, dim = 1500, 8
    centres = rng.normal(size=(60, dim))
    vectors = centres[rng.integers(0, 60, n)] + 0.25 * rng.normal(size=(n, dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids = [f"{i:032x}" for i in rng.permutation(n)]
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, 12)) for _ in range(n)]
    lines = pa.table({"command_id": ids, "platform": ["linux"] * n, "command_line": words})
    found = near_duplicates(lines, vectors, threshold=0.95)
    graph = near_duplicates(lines, vectors, threshold=0.95, exact_limit=50)
    leaders, expected = [], {}
    for i in np.argsort(ids):
        cosines = [float(vectors[i].astype(np.float64) @ vectors[j].astype(np.float64)) for j in leaders]
        if cosines and max(cosines) >= 0.95:
            expected[ids[i]] = ids[leaders[int(np.argmax(cosines))]]
        else:
            leaders.append(i)
            expected[ids[i]] = ids[i]
    assert dict(zip(ids, found["representative_id"].to_pylist(), strict=True)) == expected
    same = np.array(graph["representative_id"].to_pylist()) == np.array(found["representative_id"].to_pylist())
    assert same.mean() > 0.95


def test_what_does_not_fit_together_is_refused():
    lines = table([("linux", "ls")])
    with pytest.raises(ValueError, match="as many embeddings"):
        near_duplicates(lines, np.zeros((2, 4), np.float32))
    known = KnownGroups.from_lines(lines, embed(lines))
    with pytest.raises(ValueError, match="dimension"):
        near_duplicates(lines, np.zeros((1, 4), np.float32), known=known)
