from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("bentoml", reason="needs the extra 'service'")

from service.entries import MAX_LINE_BYTES, BadEntries, to_batch

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["command_line", "platform", "parent_command_line", "x"]), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_either_a_batch_or_refused(value):
    try:
        batch = to_batch(value)
    except BadEntries:
        return
    batch.validate(full=True)
    assert batch.num_rows == len(value)
    assert batch.column("command_line").null_count == 0


@given(st.lists(texts, min_size=1, max_size=20))
def test_texts_come_back_in_order(lines):
    assert to_batch(lines).column("command_line").to_pylist() == lines


@given(st.sampled_from(["marker7", "marker7\0", "marker7\ud800"]), st.integers(0, 3))
def test_a_refusal_repeats_nothing_of_the_request(marker, at):
    values = [
        marker,
        [marker, 1],
        [{"command_line": "ls", "platform": marker}],
        [{"command_line": {marker: 1}}],
    ]
    with pytest.raises(BadEntries) as refused:
        to_batch(values[at])
    assert "marker7" not in json.dumps(str(refused.value))


def test_a_line_may_be_as_long_as_the_lake_takes_and_no_longer():
    assert to_batch(["é" * (MAX_LINE_BYTES // 2)]).num_rows == 1
    with pytest.raises(BadEntries, match="longer than"):
        to_batch(["ls", "é" * (MAX_LINE_BYTES // 2) + "x"])


def test_the_platform_is_read_in_any_case_and_may_be_absent():
    lines = [{"command_line": "ls", "platform": " Windows "}, {"command_line": "ls", "platform": None}, "ls"]
    assert to_batch(lines).column("platform").to_pylist() == ["windows", None, None]
