import hashlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.telemetry import command_id, command_ids

rows = st.lists(
    st.tuples(
        st.sampled_from(["windows", "linux", "macos"]), st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
    )
)


@settings(deadline=None, max_examples=60)
@given(rows, st.integers(0, 3))
def test_ids_equal_hashlib_row_by_row_also_in_a_slice(pairs, skip):
    platform = pa.array([p for p, _ in pairs], pa.string()).slice(skip)
    line = pa.array([c for _, c in pairs], pa.string()).slice(skip)
    expected = [hashlib.sha256(f"{p}\0{c}".encode()).digest()[:16].hex() for p, c in pairs[skip:]]
    ids = command_ids(platform, line)
    ids.validate(full=True)
    assert ids.to_pylist() == expected
    assert [command_id(p, c) for p, c in pairs[skip:]] == expected


def test_the_same_line_on_two_platforms_has_two_ids():
    ids = command_ids(pa.array(["linux", "macos"]), pa.array(["ls -l", "ls -l"]))
    assert len(set(ids.to_pylist())) == 2


def test_a_known_id_stays_what_it_is():
    assert command_id("linux", "whoami") == hashlib.sha256(b"linux\x00whoami").hexdigest()[:32]


def test_chunked_and_large_columns_are_read_too():
    line = pa.chunked_array([["a"], ["b", "c"]], pa.large_string())
    platform = pa.chunked_array([["linux", "linux"], ["linux"]]).dictionary_encode()
    assert command_ids(platform, line).to_pylist() == [command_id("linux", c) for c in "abc"]


@pytest.mark.parametrize(("platform", "line"), [(["linux"], ["a", "b"]), (["linux"], [None]), ([None], ["a"])])
def test_a_null_or_another_length_is_refused(platform, line):
    with pytest.raises(ValueError, match="command"):
        command_ids(pa.array(platform, pa.string()), pa.array(line, pa.string()))
