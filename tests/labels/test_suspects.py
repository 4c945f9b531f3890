"""Confident learning against the paper's definitions, and on labels that were flipped on purpose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.errors import JudgeError
from cmdclf.labels.suspects import confident_joint, out_of_fold


def test_a_worked_example_of_the_confident_joint():
    labels = [0, 0, 0, 1, 1, 1]
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7], [0.7, 0.3]])
    found = confident_joint(labels, p)
    # The thresholds are the means of a class's own rows: (0.9 + 0.8 + 0.2) / 3 for both.
    assert found.thresholds == pytest.approx([1.9 / 3, 1.9 / 3])
    assert found.counts.tolist() == [[2, 1], [1, 2]]
    assert found.joint == pytest.approx(np.array([[1 / 3, 1 / 6], [1 / 6, 1 / 3]]))
    assert found.suspects.tolist() == [2, 5]  # the larger margin first
    assert found.guessed.tolist() == [1, 0]
    assert found.margins == pytest.approx([0.6, 0.4])
    assert found.error_share == pytest.approx(1 / 3)


def test_a_row_below_every_threshold_counts_for_nothing():
    p = np.array([[0.95, 0.05], [0.6, 0.4], [0.05, 0.95], [0.4, 0.6]])
    found = confident_joint([0, 0, 1, 1], p)
    assert found.counts.tolist() == [[1, 0], [0, 1]]
    assert found.joint.sum() == pytest.approx(1)
    assert len(found.suspects) == 0


def test_a_class_without_rows_is_suspected_nowhere():
    found = confident_joint([0, 0], [[0.1, 0.9], [0.2, 0.8]])
    assert found.thresholds[1] == np.inf
    assert len(found.suspects) == 0
    assert found.joint.tolist() == [[1, 0], [0, 0]]


def test_nothing_gives_nothing():
    found = confident_joint(np.zeros(0, int), np.zeros((0, 2)))
    assert len(found.suspects) == 0


@pytest.mark.parametrize(
    ("labels", "p"),
    [([0], [[0.5, np.nan]]), ([2], [[0.5, 0.5]]), ([-1], [[0.5, 0.5]]), ([0, 1], [[0.5, 0.5]]), ([0], [[1.5, 0]])],
)
def test_impossible_input_is_refused(labels, p):
    with pytest.raises(ValueError, match=r"labels|probabilities"):
        confident_joint(labels, np.array(p))


@given(
    st.integers(2, 4).flatmap(
        lambda k: st.lists(
            st.tuples(st.integers(0, k - 1), st.lists(st.floats(0.01, 1), min_size=k, max_size=k)),
            min_size=1,
            max_size=30,
        )
    )
)
def test_suspects_are_what_the_definition_says(rows):
    labels = np.array([label for label, _ in rows])
    p = np.array([values for _, values in rows])
    p = p / p.sum(axis=1, keepdims=True)
    found = confident_joint(labels, p)
    expected = {}
    for row, label in enumerate(labels):
        above = [j for j in range(p.shape[1]) if (labels == j).any() and p[row, j] >= p[labels == j, j].mean() - 1e-12]
        best = max(above, key=lambda j: (p[row, j], -j), default=label)
        if best != label:
            expected[row] = best
    assert dict(zip(found.suspects.tolist(), found.guessed.tolist(), strict=True)) == expected
    assert (np.diff(found.margins) <= 0).all()
    assert found.joint.sum() == pytest.approx(1)
    assert found.joint.sum(axis=1) == pytest.approx(np.bincount(labels, minlength=p.shape[1]) / len(labels))


def _logistic():
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


def _clouds(flipped, n=200):
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], n // 2)
    matrix = (rng.normal(size=(n, 4)) + 5 * truth[:, None]).astype(np.float32)
    labels = truth.copy()
    labels[flipped] = 1 - labels[flipped]
    return matrix, labels


def test_flipped_labels_come_first():
    flipped = np.array([3, 50, 120, 160, 199])
    matrix, labels = _clouds(flipped)
    p = out_of_fold(_logistic, matrix, labels, np.arange(200))
    found = confident_joint(labels, p)
    assert set(flipped.tolist()) <= set(found.suspects.tolist())
    assert len(found.suspects) <= 8
    assert found.suspects[0] in flipped
    assert found.error_share == pytest.approx(5 / 200, abs=0.015)


def test_no_row_is_judged_by_a_classifier_that_saw_its_group():
    seen = []

    class Spy:
        def fit(self, matrix, _labels):
            self.groups = set(matrix[:, 1].tolist())
            return self

        def predict_proba(self, matrix):
            assert not self.groups & set(matrix[:, 1].tolist())
            seen.extend(matrix[:, 0].tolist())
            return np.full((len(matrix), 2), 0.5)

    groups = np.repeat(np.arange(30), 4)
    matrix = np.column_stack([np.arange(120), groups]).astype(np.float32)
    out_of_fold(Spy, matrix, groups % 2, groups)
    assert sorted(seen) == list(range(120))


def test_one_group_of_a_class_is_too_few():
    matrix, labels = _clouds(np.array([], int))
    with pytest.raises(JudgeError, match=r"two groups.*--labelled"):
        out_of_fold(_logistic, matrix, labels, labels)
    p = out_of_fold(_logistic, matrix, labels, np.arange(200) % 2 + 2 * labels)
    assert p.shape == (200, 2)
