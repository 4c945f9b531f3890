"""Prompts side by side on labelled lines."""

import math
from itertools import product

import pyarrow as pa
import pytest

from cmdclf.errors import JudgeError
from cmdclf.labels import OpenAIJudge
from cmdclf.labels.compare import compare_judges, labelled_sample, mcnemar_exact
from cmdclf.labels.prompt import Prompt

from .openai_server import MODEL, answer, completion, openai_server

LABELS = ["benign"] * 12 + ["malicious"] * 6


@pytest.fixture
def truth():
    texts = [f"tool{i}.exe /run" for i in range(len(LABELS))]
    return pa.table({"platform": ["windows"] * len(texts), "command_line": texts, "label": LABELS})


def test_mcnemar_is_the_binomial_test_at_one_half():
    assert mcnemar_exact(0, 0) == 1
    for a, b in product(range(7), range(7)):
        n, k = a + b, min(a, b)
        tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
        assert mcnemar_exact(a, b) == pytest.approx(min(1.0, 2 * tail))


def test_a_larger_sample_holds_the_smaller_one_and_lines_labelled_both_ways_are_left_out(truth):
    odd = pa.table(
        {"platform": ["windows"] * 3, "command_line": ["x", "x", "y"], "label": ["benign", "malicious", "unknown"]}
    )
    truth = pa.concat_tables([truth, truth, odd])
    whole = labelled_sample(truth, None, 0)
    assert whole.num_rows == len(LABELS)
    small, large, other = (
        labelled_sample(truth, n, seed)["command_line"].to_pylist() for n, seed in ((5, 1), (9, 1), (5, 2))
    )
    assert large[:5] == small
    assert other != small


@pytest.mark.parametrize(
    "rows",
    [{"platform": ["linux"], "command_line": ["id"]}, {"platform": ["linux"], "command_line": ["id"], "label": ["x"]}],
)
def test_a_truth_without_labels_is_an_error(rows):
    with pytest.raises(JudgeError, match="label"):
        labelled_sample(pa.table(rows), None, 0)


def test_prompts_are_set_side_by_side_and_a_second_comparison_asks_nothing(truth, store, tmp_path):
    (tmp_path / "b.md").write_text("Other words.")
    wrong = {"tool0.exe /run", "tool1.exe /run", "tool2.exe /run"}
    labels = dict(zip(truth["command_line"].to_pylist(), LABELS, strict=True))

    def script(server, line, body):
        other = body["messages"][0]["content"] == "Other words."
        text = line["command_line"]
        verdict = labels[text]
        if other and text in wrong:
            verdict = "unsure"
        if not other and text == "tool17.exe /run":
            verdict = "benign"
        return completion(answer(verdict), usage=(100, 10))

    lines = labelled_sample(truth, None, 0)
    with openai_server(script) as server:

        def judges():
            return {
                name: OpenAIJudge(MODEL, base_url=server.url, prompt=Prompt(path), usd_per_million_in=1.0)
                for name, path in (("a", None), ("b", tmp_path / "b.md"))
            }

        found = compare_judges(store, judges(), lines)
        assert len(server.bodies) == 36
        assert compare_judges(store, judges(), lines) == found
        assert len(server.bodies) == 36
    a, b = found.prompts
    assert a.confusion["malicious", "benign"] == 1
    assert a.benign_precision[0] == pytest.approx(12 / 13)
    assert a.benign_precision[1] < 12 / 13 < a.benign_precision[2]
    assert a.malicious_recall[0] == pytest.approx(5 / 6)
    assert (b.benign_precision[0], b.malicious_recall[0]) == (1.0, 1.0)
    assert b.unsure == pytest.approx(3 / 18)
    assert a.cost_usd == pytest.approx(18 * 100 / 1e6)
    assert (a.prompt_tokens, a.completion_tokens) == (1800, 180)
    [pair] = found.differences
    assert (pair.lines, pair.only_first, pair.only_second) == (18, 3, 1)
    assert pair.p == pytest.approx(0.625)
    assert 0 < pair.kappa < 1
    assert found.record()["differences"][0]["p"] == pair.p


def test_what_one_prompt_spends_counts_towards_the_ceiling_of_all(truth, store, tmp_path):
    (tmp_path / "b.md").write_text("Other words.")
    lines = labelled_sample(truth, None, 0)
    with openai_server(lambda *_: completion(answer(), usage=(1000, 0))) as server:
        judges = {
            str(path): OpenAIJudge(
                MODEL, base_url=server.url, prompt=Prompt(path), usd_per_million_in=1.0, budget_usd=0.03, concurrency=1
            )
            for path in (None, tmp_path / "b.md")
        }
        found = compare_judges(store, judges, lines)
    assert found.stopped == "cost ceiling reached"
    assert found.prompts[0].answered == 18
    assert 0 < found.prompts[1].answered <= 12
    assert sum(result.cost_usd for result in found.prompts) <= 0.03 + 1e-9


def test_a_vetoed_verdict_is_compared_as_it_was_given_and_kept_as_it_counts(store):
    truth = pa.table(
        {"platform": ["windows"], "command_line": ["vssadmin delete shadows /all /quiet"], "label": ["malicious"]}
    )
    with openai_server() as server:
        judge = OpenAIJudge(MODEL, base_url=server.url)
        found = compare_judges(store, {"a": judge}, labelled_sample(truth, None, 0))
    assert found.prompts[0].confusion["malicious", "benign"] == 1
    assert store.verdicts()["verdict"].to_pylist() == ["unsure"]
