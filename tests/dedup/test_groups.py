from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.dedup import GROUPS, KnownGroups, _small_worlds, near_duplicates
from cmdclf.dedup import groups as groups_module
from cmdclf.dedup._small_worlds import group_small_worlds
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


def first_words(lines):
    """A behaviour that is easy to see through."""
    return pa.array([text.split(" ")[0] for text in lines["command_line"].to_pylist()], pa.string())


def answers(groups):
    return {(r["command_id"], r["representative_id"], r["level"], round(r["cosine"], 6)) for r in groups.to_pylist()}


# ---------------------------------------------------------------- a plain reading of the rule


def plain(ids, worlds, masks, vectors, threshold, known=()):
    """id -> representative; `known` are (id, world, mask, vector) of earlier days."""
    leaders = list(known)
    found = {}
    earlier = {k[0] for k in known}
    for i in sorted(range(len(ids)), key=lambda i: ids[i]):
        mine = [k for k in leaders if k[1] == worlds[i]]
        masked = sorted(k[0] for k in mine if k[2] == masks[i])
        near = [(-np.float32(k[3].astype(np.float64) @ vectors[i].astype(np.float64)), k[0]) for k in mine]
        near = sorted(pair for pair in near if -pair[0] >= threshold)
        if ids[i] in earlier or ids[i] in found:
            found.setdefault(ids[i], ids[i])
        elif masked:
            found[ids[i]] = masked[0]
        elif near:
            found[ids[i]] = near[0][1]
        else:
            leaders.append((ids[i], worlds[i], masks[i], vectors[i]))
            found[ids[i]] = ids[i]
    return found


@st.composite
def days(draw):
    """Two days of lines: (ids, worlds, words, vectors), made of few values so that everything collides."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, worlds = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    vectors = rng.integers(-2, 3, (n, 3)) + 0.0
    vectors[(vectors == 0).all(1)] = [1, 0, 0]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids = [f"{i:032x}" for i in rng.permutation(n)]
    words = ["abcdefghij"[: k + 1] for k in rng.integers(0, 10, n)]
    return ids, rng.integers(0, worlds, n), words, vectors, draw(st.integers(0, n))


@settings(max_examples=60)
@given(days(), st.sampled_from([0.5, 0.8, 0.95, 1.0]), st.sampled_from([0, 1, 3, 4096]))
def test_two_days_equal_a_plain_reading_of_the_rule(made, threshold, many):
    ids, worlds, words, vectors, cut = made
    lines = pa.table({"command_id": ids, "platform": ["linux"] * len(ids), "command_line": words})
    does = pa.array([str(w) for w in worlds], pa.string())
    with pytest.MonkeyPatch.context() as patch:
        # The same answer whether a world is compared in one pass or in blocks against an index.
        patch.setattr(groups_module, "group_small_worlds", lambda *args: group_small_worlds(*args, many))
        first = near_duplicates(lines.slice(0, cut), vectors[:cut], threshold=threshold, behaviours=does.slice(0, cut))
        known = KnownGroups.empty(3).extended(lines.slice(0, cut), vectors[:cut], first, does.slice(0, cut))
        second = near_duplicates(
            lines.slice(cut), vectors[cut:], threshold=threshold, behaviours=does.slice(cut), known=known
        )
    monday = plain(ids[:cut], worlds[:cut], words[:cut], vectors[:cut], threshold)
    assert dict(zip(ids[:cut], first["representative_id"].to_pylist(), strict=True)) == monday
    leaders = [(ids[i], worlds[i], words[i], vectors[i]) for i in range(cut) if monday[ids[i]] == ids[i]]
    assert known.ids.to_pylist() == sorted(k[0] for k in leaders)
    tuesday = plain(ids[cut:], worlds[cut:], words[cut:], vectors[cut:], threshold, leaders)
    assert dict(zip(ids[cut:], second["representative_id"].to_pylist(), strict=True)) == tuesday


def test_thousands_of_lines_by_index_and_by_graph_equal_a_plain_reading_of_the_rule():
    rng = np.random.default_rng(3)
    n, dim = 1500, 8
    centres = rng.normal(size=(60, dim))
    vectors = centres[rng.integers(0, 60, n)] + 0.25 * rng.normal(size=(n, dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids = [f"{i:032x}" for i in rng.permutation(n)]
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 12)) for _ in range(n)]
    lines = pa.table({"command_id": ids, "platform": ["linux"] * n, "command_line": words})
    alike = pa.array(["x"] * n)
    expected = plain(ids, ["x"] * n, words, vectors, 0.95)
    at_once = near_duplicates(lines, vectors, threshold=0.95, behaviours=alike)
    assert dict(zip(ids, at_once["representative_id"].to_pylist(), strict=True)) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups_module, "group_small_worlds", lambda *args: group_small_worlds(*args, 10))
        by_index = near_duplicates(lines, vectors, threshold=0.95, behaviours=alike)
        by_graph = near_duplicates(lines, vectors, threshold=0.95, behaviours=alike, exact_limit=50)
    assert by_index.equals(at_once)
    same = np.array(by_graph["representative_id"].to_pylist()) == np.array(by_index["representative_id"].to_pylist())
    assert same.mean() > 0.95


def test_the_number_of_threads_changes_nothing():
    rng = np.random.default_rng(4)
    n = 20_000
    vectors = rng.integers(-1, 2, (n, 4)).astype(np.float32) + np.float32(0.1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"{i:032x}" for i in rng.permutation(n)]
    lines = pa.table({"command_id": ids, "platform": ["linux"] * n, "command_line": ["x" * (i % 7) for i in range(n)]})
    does = pa.array([str(w) for w in rng.integers(0, 3000, n)])
    found = []
    for threads in (1, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_small_worlds, "processors", lambda threads=threads: threads)
            found.append(near_duplicates(lines, vectors, threshold=0.9, behaviours=does))
    assert found[0].equals(found[1])
    assert len(set(found[0]["level"].to_pylist())) == 3


# ---------------------------------------------------------------- properties on real lines


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_groups_do_not_depend_on_the_order_of_rows(rows, random):
    lines = table(rows)
    groups = near_duplicates(lines, embed(lines), threshold=0.9)
    random.shuffle(rows)
    shuffled = table(rows)
    assert answers(near_duplicates(shuffled, embed(shuffled), threshold=0.9)) == answers(groups)


@given(ROWS, st.floats(0.5, 0.99))
@settings(max_examples=40)
def test_each_row_keeps_the_promise_of_its_level(rows, threshold):
    lines = table(rows)
    vectors, does = embed(lines), first_words(lines)
    groups = near_duplicates(lines, vectors, threshold=threshold, behaviours=does)
    assert groups.schema == GROUPS
    assert groups["command_id"].to_pylist() == lines["command_id"].to_pylist()
    at = {id_: i for i, id_ in enumerate(lines["command_id"].to_pylist())}
    worlds = list(zip(lines["platform"].to_pylist(), does.to_pylist(), strict=True))
    leaders = set()
    for i, row in enumerate(groups.to_pylist()):
        leader = at[row["representative_id"]]
        leaders.add(leader)
        assert worlds[leader] == worlds[i]
        assert row["representative_id"] <= row["command_id"]
        if row["level"] == "exact":
            assert row["representative_id"] == row["command_id"]
        else:
            assert row["cosine"] == pytest.approx(float(vectors[i] @ vectors[leader]), abs=1e-5)
        if row["level"] == "cosine":
            assert row["cosine"] >= np.float32(threshold)
    # Representatives of one world are no near-duplicates of each other.
    for a in leaders:
        for b in leaders:
            if a != b and worlds[a] == worlds[b]:
                assert float(vectors[a] @ vectors[b]) < threshold + 1e-5


@given(ROWS, ROWS)
@settings(max_examples=30)
def test_a_second_day_joins_the_first_and_asking_again_changes_nothing(first, second):
    monday, tuesday = table(first), table(second)
    groups = near_duplicates(monday, embed(monday), threshold=0.9)
    known = KnownGroups.empty(embedder().dim).extended(monday, embed(monday), groups)
    representatives = set(groups["representative_id"].to_pylist())
    assert sorted(known.ids.to_pylist()) == sorted(representatives)
    again = near_duplicates(monday, embed(monday), threshold=0.9, known=known)
    assert set(again["representative_id"].to_pylist()) <= representatives
    later = near_duplicates(tuesday, embed(tuesday), threshold=0.9, known=known)
    both = known.extended(tuesday, embed(tuesday), later)
    assert len(set(both.ids.to_pylist())) == len(both) == len(both.masks) == len(both.behaviours) == len(both.vectors)
    # An earlier representative keeps its place even where a new line has a smaller id.
    for row in later.to_pylist():
        if row["command_id"] in representatives:
            assert (row["representative_id"], row["level"]) == (row["command_id"], "exact")


def test_masked_lines_share_a_group_whatever_the_threshold():
    lines = table([("windows", "ping 192.0.2.7 -n 3"), ("windows", "ping 198.51.100.9 -n 44")])
    groups = near_duplicates(lines, embed(lines), threshold=1.0, behaviours=first_words(lines))
    assert sorted(groups["level"].to_pylist()) == ["exact", "masked"]
    assert len(set(groups["representative_id"].to_pylist())) == 1


def test_what_differs_in_behaviour_never_shares_a_group_however_near():
    lines = table([("windows", "ping 192.0.2.7 -n 3"), ("windows", "ping 198.51.100.9 -n 44")])
    vector = np.repeat(embed(lines)[:1], 2, axis=0)
    groups = near_duplicates(lines, vector, threshold=0.1, behaviours=pa.array(["here", "there"]))
    assert groups["level"].to_pylist() == ["exact", "exact"]
    stop = table([("linux", "systemctl stop nginx"), ("linux", "systemctl start nginx")])
    assert near_duplicates(stop, embed(stop), threshold=0.1)["level"].to_pylist() == ["exact", "exact"]


def test_platforms_never_share_a_group():
    lines = table([("windows", "ping 192.0.2.7"), ("linux", "ping 192.0.2.7")])
    alike = pa.array(["x", "x"])
    assert near_duplicates(lines, embed(lines), behaviours=alike)["level"].to_pylist() == ["exact", "exact"]


def test_ties_go_to_the_smallest_id_also_between_an_earlier_day_and_this_one():
    a, b = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    between = np.array([np.sqrt(0.5), np.sqrt(0.5)], np.float32)
    texts = pa.table({"platform": ["linux"] * 3, "command_line": ["foo", "bar", "baz"]})
    x = pa.array(["x"] * 3)
    for ids in (["0a", "0b", "1c"], ["0b", "0a", "1c"]):
        lines = texts.append_column("command_id", pa.array(ids))
        known = KnownGroups.from_lines(lines.slice(0, 1), a[None], x.slice(0, 1))
        groups = near_duplicates(
            lines.slice(1), np.stack([b, between]), threshold=0.5, known=known, behaviours=x.slice(1)
        )
        assert groups["representative_id"].to_pylist() == [ids[1], "0a"]


def test_the_order_of_known_representatives_does_not_matter():
    lines = table([("linux", t) for t in TEXTS])
    known = KnownGroups.from_lines(lines, embed(lines), first_words(lines))
    new = table(
        [("linux", "net user dave /add"), ("linux", "ping 203.0.113.5 -n 9"), ("linux", "systemctl start apache2")]
    )
    forwards, backwards = (
        near_duplicates(new, embed(new), known=k, behaviours=first_words(new), threshold=0.8)
        for k in (known, known.take(np.arange(len(lines))[::-1]))
    )
    assert forwards.equals(backwards)
    assert "cosine" in forwards["level"].to_pylist() or "masked" in forwards["level"].to_pylist()


def test_a_repeated_id_is_one_line_and_no_lines_are_no_error():
    lines = table([("linux", "ls"), ("linux", "ls"), ("linux", "id"), ("linux", "ls")])
    groups = near_duplicates(lines, embed(lines))
    assert groups["representative_id"].to_pylist() == lines["command_id"].to_pylist()
    assert near_duplicates(lines.slice(0, 0), embed(lines)[:0]).num_rows == 0
    assert (
        near_duplicates(lines.slice(0, 0), embed(lines)[:0], known=KnownGroups.from_lines(lines, embed(lines))).num_rows
        == 0
    )


def test_what_does_not_fit_together_is_refused():
    lines = table([("linux", "ls")])
    with pytest.raises(ValueError, match="as many embeddings"):
        near_duplicates(lines, np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match="as many behaviours"):
        near_duplicates(lines, np.zeros((1, 4), np.float32), behaviours=pa.array([], pa.string()))
    known = KnownGroups.from_lines(lines, embed(lines))
    with pytest.raises(ValueError, match="dimension"):
        near_duplicates(lines, np.zeros((1, 4), np.float32), known=known)
