from __future__ import annotations

import numpy as np
import pytest

from cmdclf.detect import PCAReconstructionDetector


@pytest.fixture(scope="module")
def plane():
    """500 rows in a plane of a space of 6 dimensions."""
    random = np.random.default_rng(5)
    return random.normal(size=(500, 2)) @ random.normal(size=(2, 6)) + 3


def test_rows_in_the_subspace_have_no_error_and_others_their_squared_distance_to_it(plane):
    detector = PCAReconstructionDetector(n_components=2).fit(plane)
    np.testing.assert_allclose(detector.score_samples(plane), 0, atol=1e-9)
    away = np.linalg.svd(detector.components_)[2][-1]
    np.testing.assert_allclose(detector.score_samples(plane[:10] + 2.5 * away), 2.5**2, rtol=1e-9)


def test_distance_inside_the_subspace_does_not_count(plane):
    detector = PCAReconstructionDetector(n_components=2).fit(plane)
    far = detector.mean_ + 1000 * detector.components_[:1]
    assert detector.score_samples(far)[0] == pytest.approx(0, abs=1e-6)


def test_a_share_keeps_as_many_components_as_it_needs(plane):
    noisy = plane + np.random.default_rng(6).normal(scale=1e-3, size=plane.shape)
    assert len(PCAReconstructionDetector(n_components=0.999).fit(noisy).components_) == 2


def test_the_mean_error_of_the_fitted_rows_is_the_variance_left_out(plane):
    random = np.random.default_rng(7)
    rows = random.normal(size=(400, 6)) * [5, 4, 3, 2, 1, 0.5]
    detector = PCAReconstructionDetector(n_components=3).fit(rows)
    left_out = np.sort(np.linalg.eigvalsh(np.cov(rows.T, bias=True)))[:3].sum()
    assert detector.score_samples(rows).mean() == pytest.approx(left_out)


def test_one_row_and_too_many_components_are_refused(plane):
    with pytest.raises(ValueError, match="minimum of 2"):
        PCAReconstructionDetector().fit(plane[:1])
    with pytest.raises(ValueError, match="n_components"):
        PCAReconstructionDetector(n_components=7).fit(plane)
