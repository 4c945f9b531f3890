import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.telemetry.schema import clean_array, clean_text

any_text = st.text(st.characters(), max_size=40)


@settings(deadline=None, max_examples=60)
@given(any_text | st.binary(max_size=60))
def test_clean_text_is_utf8_without_nul_and_idempotent(value):
    text = clean_text(value)
    assert "\0" not in text
    assert text.encode("utf-8").decode("utf-8") == text
    assert clean_text(text) == text


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_text_that_can_be_stored_comes_back_unchanged(text):
    assert clean_text(text) == text
    assert clean_text(text.encode()) == text


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (b"caf\xe9", "caf\\xe9"),
        (b"a\0b", "a\\x00b"),
        ("a\0b", "a\\x00b"),
        ("\ud800!", "\\xed\\xa0\\x80!"),
        (b"\xff\xfe".decode("utf-8", "surrogateescape"), "\\xff\\xfe"),
        ("naïve ☃", "naïve ☃"),
    ],
)
def test_undecodable_bytes_become_four_characters_each(value, stored):
    assert clean_text(value) == stored


@settings(deadline=None, max_examples=60)
@given(st.lists(st.none() | st.binary(max_size=20)))
def test_a_binary_column_is_cleaned_like_its_values(values):
    expected = [None if v is None else clean_text(v) for v in values]
    assert clean_array(pa.array(values, pa.binary())).to_pylist() == expected


def test_a_string_column_with_wrong_utf8_inside_is_repaired():
    broken = pa.array([b"ok", b"bad\xff", b"nul\0", None], pa.binary()).view(pa.string())
    assert clean_array(broken).to_pylist() == ["ok", "bad\\xff", "nul\\x00", None]
