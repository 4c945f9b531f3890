import gzip
import json
from datetime import date

import pyarrow.parquet as pq
import pytest

from cmdclf.errors import TelemetryError
from cmdclf.telemetry import Lake, ingest, log_files

TIME = "2024-03-05T12:00:00Z"
GOOD = {"command_line": "ls", "platform": "linux", "event_time": TIME}


def lines(lake):
    return sorted(line for b in lake.batches() for line in b["command_line"].to_pylist())


def quarantine(lake):
    return [row for p in sorted(lake.root.glob("quarantine/*.parquet")) for row in pq.read_table(p).to_pylist()]


def test_every_record_is_written_skipped_or_quarantined(write, lake):
    records = [GOOD, {**GOOD, "command_line": ""}, {**GOOD, "event_time": None}, {**GOOD, "event_time": "2024-03-06"}]
    path = write("a.jsonl", "".join(json.dumps(r) + "\n" for r in records) + "broken\n")
    (report,) = ingest([path], lake)
    assert (report.written, report.skipped, report.quarantined) == (2, {"no command line": 1}, 2)
    assert report.read == report.written + sum(report.skipped.values()) + report.quarantined == 5
    assert report.days == {date(2024, 3, 5): 1, date(2024, 3, 6): 1}
    assert sum(report.quarantine_reasons.values()) == 2
    assert [(r["file"], r["offset"]) for r in quarantine(lake)] == [(str(path), 5), (str(path), 3)]
    assert quarantine(lake)[0]["raw"] == "broken"


def test_a_file_ingested_twice_is_not_doubled(write, lake):
    path = write("a.jsonl", [GOOD])
    first, second = ingest([path], lake)[0], ingest([path], lake)[0]
    assert (first.replaced, second.replaced) == (False, True)
    assert lines(lake) == ["ls"]
    ingest([write("copy.jsonl", [GOOD])], lake)
    assert lines(lake) == ["ls"]


def test_ingesting_again_with_better_options_replaces_what_went_to_quarantine(write, lake):
    path = write("a.jsonl", [GOOD, {"command_line": "id", "event_time": TIME}])
    assert ingest([path], lake)[0].quarantined == 1
    assert ingest([path], lake, platform="linux")[0].quarantined == 0
    assert lines(lake) == ["id", "ls"]
    assert quarantine(lake) == []


def test_other_content_adds(write, lake):
    ingest([write("a.jsonl", [GOOD]), write("b.jsonl", [{**GOOD, "command_line": "id"}])], lake)
    assert lines(lake) == ["id", "ls"]


def test_a_damaged_file_stores_nothing_and_the_others_go_on(write, lake):
    good, bad = write("a.jsonl", [GOOD]), write("b.json", "")
    faults = []
    reports = ingest([bad, good], lake, on_error=lambda path, error: faults.append((path, error)))
    assert len(reports) == 1
    assert faults[0][0] == bad
    assert "empty" in str(faults[0][1])
    with pytest.raises(TelemetryError, match=r"b\.json.*empty"):
        ingest([bad], lake)


def test_a_file_that_breaks_in_the_middle_leaves_the_lake_as_it_was(write, lake):
    whole = gzip.compress(
        "".join(json.dumps({**GOOD, "command_line": f"c{i * 7919}"}) + "\n" for i in range(9000)).encode()
    )
    with pytest.raises(TelemetryError, match="damaged"):
        ingest([write("a.jsonl.gz", whole[:-100])], lake)
    assert lake.days() == []


def test_a_folder_means_its_files_but_not_hidden_ones_nor_the_lake_itself(write, lake, tmp_path):
    (tmp_path / "sub").mkdir()
    names = [write(n, [GOOD]) for n in ("b.jsonl", "sub/a.jsonl")]
    write(".hidden", "x")
    ingest([names[0]], lake)
    assert list(log_files([tmp_path], lake=lake)) == names


def test_wrong_options_are_refused_before_anything_is_read(write, lake):
    path = write("a.jsonl", [GOOD])
    with pytest.raises(TelemetryError, match=r"'beos' is not a platform.*windows, linux, macos"):
        ingest([path], lake, platform="beos")
    with pytest.raises(TelemetryError, match=r"no column 'cmd' to map to.*command_line"):
        ingest([path], lake, columns={"cmd": "x"})
    with pytest.raises(TelemetryError, match=r"no format 'xml'.*parquet"):
        ingest([path], lake, format="xml")
    assert not lake.root.exists()


def test_a_lakes_own_files_can_be_ingested_into_another_lake(write, lake, tmp_path):
    ingest([write("a.jsonl", [{**GOOD, "count": 4}])], lake)
    other = Lake(tmp_path / "other")
    ingest([lake.root], other)
    assert [b.to_pylist() for b in other.batches()] == [b.to_pylist() for b in lake.batches()]
