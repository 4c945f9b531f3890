from __future__ import annotations

import base64
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.cli import main


def test_secrets_give_way_to_placeholders_in_the_line_and_its_parent(tmp_path):
    source, result = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(
        pa.table(
            {
                "command_line": ["mysql -phunter2", "ls", None],
                "parent_command_line": ["sh -c 'mysql -phunter2'", None, "sh"],
                "n": [1, 2, 3],
            }
        ),
        source,
    )
    assert main(["redact", str(source), "--out", str(result)]) == 0
    assert pq.read_table(result).to_pylist() == [
        {
            "command_line": "mysql -p<secret:password>",
            "parent_command_line": "sh -c 'mysql -p<secret:password>'",
            "n": 1,
            "secrets": ["password"],
        },
        {"command_line": "ls", "parent_command_line": None, "n": 2, "secrets": []},
        {"command_line": None, "parent_command_line": "sh", "n": 3, "secrets": None},
    ]


def test_a_pipe_of_text_comes_out_as_json_lines_or_as_text():
    data = b"sshpass -p geheim ssh h\necho caf\xe9\x00\n"
    run = [sys.executable, "-m", "cmdclf", "redact", "-"]
    rows = [json.loads(x) for x in subprocess.run(run, input=data, capture_output=True, check=True).stdout.splitlines()]
    assert rows == [
        {"command_line": "sshpass -p <secret:password> ssh h", "secrets": ["password"]},
        {"command_line": "echo caf\\xe9\\x00", "secrets": []},
    ]
    text = subprocess.run([*run, "--out-format", "text"], input=data, capture_output=True, check=True).stdout
    assert text == b"sshpass -p <secret:password> ssh h\necho caf\\xe9\\x00\n"


def test_an_encoded_password_gives_way_with_its_payload():
    payload = base64.b64encode("net user bob geheim12 /add".encode("utf-16-le"))
    run = [sys.executable, "-m", "cmdclf", "redact", "-", "--platform", "windows"]
    done = subprocess.run(run, input=b"powershell -enc " + payload, capture_output=True, check=True)
    assert json.loads(done.stdout) == {"command_line": "powershell -enc <secret:encoded>", "secrets": ["encoded"]}
