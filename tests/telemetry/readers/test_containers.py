import gzip
import io
import os
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.errors import TelemetryError
from cmdclf.telemetry import detect_format
from cmdclf.telemetry.readers.containers import Limits, lines_of, looks_binary, members_of


def contents(path, limits=None):
    return [(m.name, m.stream.read()) for m in members_of(path, limits)]


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_plain_gzip_and_zip_give_the_same_bytes(tmp_path):
    (tmp_path / "plain").write_bytes(b"one\ntwo")
    (tmp_path / "gz").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two"))
    assert contents(tmp_path / "plain") == contents(tmp_path / "gz") == [("", b"one\ntwo")]
    assert contents(zipped(tmp_path / "z", a=b"one\n", b=b"two")) == [("a", b"one\n"), ("b", b"two")]


def test_byte_order_marks_are_understood(tmp_path):
    (tmp_path / "u8").write_bytes("\ufeffé".encode())
    (tmp_path / "le").write_bytes("\ufeffé\n".encode("utf-16-le"))
    (tmp_path / "be").write_bytes("\ufeffé".encode("utf-16-be") + b"\0")
    assert contents(tmp_path / "u8") == [("", "é".encode())]
    assert contents(tmp_path / "le") == [("", "é\n".encode())]
    assert contents(tmp_path / "be")[0][1].startswith("é".encode())


def test_a_decompression_bomb_ends_in_an_error_with_little_read(tmp_path):
    zeros = bytes(1 << 20)
    with gzip.open(tmp_path / "bomb.gz", "wb") as out:
        for _ in range(100):
            out.write(zeros)
    with pytest.raises(TelemetryError, match=r"bomb\.gz: the file grows more than 200-fold.*unpack it yourself"):
        contents(tmp_path / "bomb.gz")
    with pytest.raises(TelemetryError, match="200-fold"):
        contents(zipped(tmp_path / "bomb.zip", a=zeros * 100))


def test_many_small_bombs_in_one_archive_share_one_budget(tmp_path):
    path = zipped(tmp_path / "bombs.zip", **{f"m{i}": bytes(5 << 20) for i in range(16)})
    with pytest.raises(TelemetryError, match="200-fold"):
        contents(path)


def test_a_member_beyond_its_bound_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", big=os.urandom(5000))
    with pytest.raises(TelemetryError, match=r"member 'big' is larger than 4,000 bytes"):
        contents(path, Limits(member_bytes=4000))
    with pytest.raises(TelemetryError, match="2 members"):
        contents(zipped(tmp_path / "b.zip", a=b"", b=b""), Limits(members=1))


@pytest.mark.parametrize("spoil", [lambda d: d[: len(d) // 2], lambda d: d[:40] + bytes([d[40] ^ 255]) + d[41:]])
def test_damaged_archives_are_errors_that_name_the_file(tmp_path, spoil):
    data = os.urandom(300).hex().encode()
    (tmp_path / "a.gz").write_bytes(spoil(gzip.compress(data)))
    (tmp_path / "a.zip").write_bytes(spoil(zipped(tmp_path / "ok.zip", a=data).read_bytes()))
    for name in ("a.gz", "a.zip"):
        with pytest.raises(TelemetryError, match=rf"{name}: the file is damaged"):
            contents(tmp_path / name)


def test_an_encrypted_member_is_an_error_with_a_remedy(tmp_path):
    path = zipped(tmp_path / "a.zip", a=b"secret")
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag for encryption, in the local header and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(TelemetryError, match=r"can't be unpacked.*Unpack it first"):
        contents(path)


def test_a_missing_file_is_a_telemetry_error(tmp_path):
    with pytest.raises(TelemetryError, match="can't be opened"):
        contents(tmp_path / "no.json")


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200), st.integers(1, 20))
def test_lines_lose_nothing_but_what_is_over_the_limit(data, limit):
    pieces = list(lines_of(io.BytesIO(data), limit))
    expected = io.BytesIO(data).readlines()
    assert [cut for _, cut in pieces] == [len(line) > limit for line in expected]
    assert all(len(line) <= limit for line, cut in pieces if not cut)
    if not any(cut for _, cut in pieces):
        assert b"".join(line for line, _ in pieces) == data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (os.urandom(4096), "binary data"),
        (b"ElfFile\0" + bytes(100), "evtx"),
        (b"SQLite format 3\0" + bytes(100), "SQLite"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd"),
        (b"just some words\nand more\n", "isn't recognised"),
        (gzip.compress(b""), "empty"),
    ],
)
def test_what_is_no_log_is_named_clearly(tmp_path, content, words):
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    with pytest.raises(TelemetryError, match=words) as caught:
        detect_format(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_text_with_a_few_odd_bytes_is_no_binary():
    assert not looks_binary(b'{"a": "\xff\xfe\x00 some text that is long enough to be text"}')
    assert looks_binary(bytes(range(256)))
