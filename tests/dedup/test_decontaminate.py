import numpy as np
import pyarrow as pa
import pytest

from cmdclf.dedup import remove_near
from cmdclf.features.embedders import load_embedder


def table(*lines):
    return pa.table({"command_line": pa.array(lines, pa.string())})


def embed(lines):
    return load_embedder().embed(lines["command_line"].combine_chunks())


def test_each_removed_line_is_counted_on_the_first_level_that_caught_it():
    train = table("ping 192.0.2.7 -n 3", "systemctl restart nginx", "net user bob /add")
    test = table("ping 192.0.2.7 -n 3", "ping 198.51.100.4 -n 9", 'SYSTEMCTL  restart "nginx"', "vssadmin list shadows")
    keep, counts = remove_near(test, embed(test), train, embed(train))
    assert keep.tolist() == [False, False, False, True]
    assert counts == {"exact": 1, "masked": 1, "cosine": 1}


def test_without_training_lines_everything_stays():
    test, none = table("ls", "ls -la"), table()
    keep, counts = remove_near(test, embed(test), none, embed(none))
    assert keep.all()
    assert sum(counts.values()) == 0
    keep, _ = remove_near(none, embed(none), test, embed(test))
    assert keep.shape == (0,)


def test_the_threshold_decides_and_the_counts_add_up():
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, 10)) for _ in range(400)]
    train, test = table(*words[:200]), table(*words[200:])
    a = rng.normal(size=(200, 4)).astype(np.float32)
    b = rng.normal(size=(200, 4)).astype(np.float32)
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    nearest = (b @ a.T).max(1)
    for threshold in (0.8, 0.95, 0.999):
        keep, counts = remove_near(test, b, train, a, threshold)
        assert np.array_equal(keep, nearest < threshold)
        assert sum(counts.values()) == (~keep).sum()


def test_lines_without_their_embeddings_are_refused():
    lines = table("ls")
    with pytest.raises(ValueError, match="differ in number"):
        remove_near(lines, embed(lines), lines, np.zeros((0, 4), np.float32))
