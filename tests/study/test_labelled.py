from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.errors import StudyError
from cmdclf.study.labelled import read_labelled


def _file(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "given.parquet")
    return tmp_path / "given.parquet"


def test_rows_without_line_or_label_are_left_out_and_other_columns_stay(tmp_path):
    table = read_labelled(
        _file(
            tmp_path,
            command_line=["a", None, "c", "d"],
            platform=["linux"] * 4,
            label=["benign", "benign", "unknown", "malicious"],
            source=["s1", "s2", "s3", "s4"],
        )
    )
    assert table["command_line"].to_pylist() == ["a", "d"]
    assert table["source"].to_pylist() == ["s1", "s4"]


def test_a_missing_platform_is_guessed_and_text_follows_the_text_rule(tmp_path):
    table = read_labelled(
        _file(
            tmp_path,
            command_line=pa.array([b"cmd.exe /c dir C:\\x\0", b"/usr/bin/caf\xe9"]),
            platform=pa.array([None, "linux"]).dictionary_encode(),
            label=["benign", "malicious"],
        )
    )
    assert table["platform"].to_pylist() == ["windows", "linux"]
    assert table["command_line"].to_pylist() == ["cmd.exe /c dir C:\\x\\x00", "/usr/bin/caf\\xe9"]


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    file = tmp_path / "given.parquet"
    file.write_bytes(b"PAR1 no")
    with pytest.raises(StudyError, match=r"given\.parquet.*not a readable Parquet file"):
        read_labelled(file)


def test_a_column_of_the_wrong_type_is_named_with_the_remedy(tmp_path):
    file = _file(tmp_path, command_line=[["a"]], platform=["linux"], label=["benign"])
    with pytest.raises(StudyError, match="must be text") as caught:
        read_labelled(file)
    assert caught.value.remedy
