import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.errors import JudgeError
from cmdclf.labels import JudgeRequest, TruthJudge, Unanswered


def pool(count, label=None):
    labels = [label or ("benign" if i % 2 else "malicious") for i in range(count)]
    return pa.table(
        {"command_line": [f"tool {i}" for i in range(count)], "platform": ["linux"] * count, "label": labels}
    )


def requests_of(table):
    from cmdclf.telemetry import command_ids

    ids = command_ids(table["platform"].combine_chunks(), table["command_line"].combine_chunks())
    return [JudgeRequest(i, "linux", "redacted") for i in ids.to_pylist()]


def verdicts(judge, requests):
    return {v.command_id: v.verdict for v in judge.judge(requests)}


def test_without_noise_the_verdict_is_the_label():
    table = pool(10)
    assert list(verdicts(TruthJudge(table), requests_of(table)).values()) == table["label"].to_pylist()


def test_the_name_states_the_noise():
    assert TruthJudge(pool(1), noise=0.01).name == "truth(noise=0.01)"
    assert TruthJudge(pool(1)).name == "truth(noise=0)"


def test_a_pool_whose_labels_were_mended_is_another_judge_and_one_in_another_order_the_same():
    assert TruthJudge(pool(9)).prompt_sha256 == TruthJudge(pool(9).take(list(range(8, -1, -1)))).prompt_sha256
    assert TruthJudge(pool(9)).prompt_sha256 != TruthJudge(pool(9, "benign")).prompt_sha256


def test_about_the_stated_share_of_verdicts_is_flipped():
    table = pool(20_000)
    given = list(verdicts(TruthJudge(table, noise=0.05), requests_of(table)).values())
    flipped = sum(a != b for a, b in zip(given, table["label"].to_pylist(), strict=True))
    assert 850 < flipped < 1150  # 1000 +- 5 standard deviations


def test_noise_depends_on_the_line_and_the_seed_alone():
    table = pool(500)
    requests = requests_of(table)
    shuffled = random.Random(1).sample(requests, 200)
    whole = verdicts(TruthJudge(table, noise=0.3, seed=7), requests)
    part = verdicts(TruthJudge(table.slice(0), noise=0.3, seed=7), shuffled)
    assert part == {i: whole[i] for i in part}
    assert verdicts(TruthJudge(table, noise=0.3, seed=8), requests) != whole


def test_more_noise_flips_the_same_lines_and_further_ones():
    table = pool(2000)
    requests = requests_of(table)
    clean = verdicts(TruthJudge(table), requests)

    def flipped(noise):
        return {i for i, v in verdicts(TruthJudge(table, noise=noise), requests).items() if v != clean[i]}

    assert flipped(0.01) < flipped(0.1) < flipped(1.0)
    assert len(flipped(1.0)) == 2000


def test_unknown_labels_and_lines_labelled_both_ways_are_unsure_at_any_noise():
    unknown = pool(3, "unknown")
    both = pa.concat_tables([pool(3, "benign"), pool(3, "malicious")])
    for table in (unknown, both):
        for noise in (0.0, 1.0):
            judge = TruthJudge(table, noise=noise)
            assert set(verdicts(judge, requests_of(table)).values()) == {"unsure"}


def test_a_line_outside_the_pool_stays_unanswered():
    [only] = TruthJudge(pool(3)).judge([JudgeRequest("0" * 32, "linux", "x")])
    assert isinstance(only, Unanswered)


def test_the_pool_may_be_a_parquet_file(tmp_path):
    table = pool(4)
    pq.write_table(table, tmp_path / "pool.parquet")
    judge = TruthJudge(tmp_path / "pool.parquet")
    assert list(verdicts(judge, requests_of(table)).values()) == table["label"].to_pylist()


@pytest.mark.parametrize("noise", [-0.1, 1.1, float("nan")])
def test_a_noise_outside_0_to_1_is_an_error(noise):
    with pytest.raises(JudgeError, match=r"0\.\.1"):
        TruthJudge(pool(1), noise=noise)


def test_a_missing_column_or_strange_label_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "pool.parquet"
    pq.write_table(pool(2).drop_columns("label"), path)
    with pytest.raises(JudgeError, match=r"pool\.parquet: .*'label'"):
        TruthJudge(path)
    with pytest.raises(JudgeError, match="'harmless'"):
        TruthJudge(pool(2, "harmless"))
