from __future__ import annotations

import numpy as np
import pytest

from cmdclf.detect import KMeansDistanceDetector


@pytest.fixture(scope="module")
def rows():
    """Two populous clusters of 500 rows and a rare one of 5, whose members resemble only each other."""
    random = np.random.default_rng(3)
    centres = np.eye(12)[[0, 1, 2]] * 20
    return np.concatenate([random.normal(centres[c], 1, (n, 12)) for c, n in ((0, 500), (1, 500), (2, 5))])


def test_a_rare_cluster_does_not_hide_its_own_members(rows):
    modified = KMeansDistanceDetector(n_clusters=3, n_init=5, min_share=0.01).fit(rows)
    assert modified.n_dropped_ == 1
    assert len(modified.centroids_) == 2
    scores = modified.score_samples(rows)
    assert scores[-5:].min() > scores[:-5].max()
    plain = KMeansDistanceDetector(n_clusters=3, n_init=5, min_share=0.0).fit(rows)
    assert plain.n_dropped_ == 0
    scores = plain.score_samples(rows)
    assert scores[-5:].max() < scores[:-5].max()


def test_the_largest_cluster_stays_however_large_the_share_asked_for(rows):
    detector = KMeansDistanceDetector(n_clusters=10, min_share=1.0).fit(rows)
    assert len(detector.centroids_) == 1
    assert detector.shares_[0] == max(detector.shares_)


def test_the_score_is_the_cosine_distance_whatever_the_length_of_the_row(rows):
    detector = KMeansDistanceDetector(n_clusters=3, min_share=0.01).fit(rows)
    row = rows[:1]
    unit = row / np.linalg.norm(row)
    expected = 1 - (unit @ detector.centroids_.T).max()
    assert detector.score_samples(row)[0] == pytest.approx(expected, abs=1e-9)
    assert detector.score_samples(row * 1000)[0] == pytest.approx(expected, abs=1e-9)
    opposite = KMeansDistanceDetector(n_clusters=1).fit(row).score_samples(-row)
    assert opposite[0] == pytest.approx(2.0)


def test_a_row_of_zeros_scores_one(rows):
    detector = KMeansDistanceDetector(n_clusters=3).fit(rows)
    np.testing.assert_array_equal(detector.score_samples(np.zeros((2, 12))), [1.0, 1.0])


def test_fewer_rows_than_clusters_can_be_fitted(rows):
    assert len(KMeansDistanceDetector(n_clusters=64, min_rows=1).fit(rows[:4]).centroids_) == 4
    assert len(KMeansDistanceDetector(n_clusters=64).fit(rows[:4]).centroids_) == 1


def test_in_a_small_sample_single_rows_are_no_clusters(rows):
    sample = np.concatenate([rows[:50], rows[-1:]])
    scores = KMeansDistanceDetector(n_clusters=40).fit(sample).score_samples(sample)
    assert np.argmax(scores) == 50


def test_many_rows_of_few_kinds_can_be_fitted_without_a_warning(rows, recwarn):
    detector = KMeansDistanceDetector(n_clusters=16, min_share=0.0).fit(np.repeat(rows[[0, 600]], 300, axis=0))
    assert len(detector.centroids_) == 2
    assert not recwarn.list
