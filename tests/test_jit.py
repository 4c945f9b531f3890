"""A kernel's cache on disk knows the files that the kernel was made of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HELPER = "from cmdclf.jit import compiled\n\n@compiled\ndef helper(x):\n    return x + {}\n"
KERNEL = (
    "import {0}\nfrom cmdclf.jit import compiled_with\n\n"
    "@compiled_with({0})\ndef kernel(x):\n    return {0}.helper(x)\n"
)


def _run(folder: Path) -> str:
    code = "import kernel_file as k; print(k.kernel(1), sum(k.kernel.stats.cache_hits.values()))"
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parent.parent}"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=folder
    )
    return done.stdout.strip()


def test_a_kernel_is_compiled_anew_when_a_module_that_it_calls_has_changed(tmp_path):
    helper = tmp_path / "helper_file.py"
    helper.write_text(HELPER.format(10))
    (tmp_path / "kernel_file.py").write_text(KERNEL.format("helper_file"))
    assert _run(tmp_path) == "11 0"
    assert _run(tmp_path) == "11 1"
    helper.write_text(HELPER.format(2000))
    assert _run(tmp_path) == "2001 0"
