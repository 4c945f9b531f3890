import pytest

from cmdclf.labels.prompt import DEFAULT_PROMPT, Prompt
from cmdclf.labels.prompt_versions import bundled_prompts, missing_parts


def test_every_bundled_prompt_has_all_parts_and_its_own_hash():
    names = bundled_prompts()
    assert DEFAULT_PROMPT in names
    for name in names:
        assert missing_parts(Prompt(name).system) == []
    assert len({Prompt(name).sha256 for name in names}) == len(names)


def test_the_first_prompt_stays_as_the_bundled_ledger_was_made_with():
    assert Prompt("judge-v1").sha256 == "545cc17cacc737d1b8e3c383e79688439e54384bfa6fc8a85e8c90456611cdcc"


@pytest.mark.parametrize(
    ("gone", "part"),
    [("You are a ", "a role"), ("**unsure**", "**unsure**"), ("evidence", "evidence"), ("ATT&CK", "ATT&CK"),
     ("| benign |", "a benign example"), ("| malicious |", "a malicious example"), ("`confidence`", "`confidence`")],
)  # fmt: skip
def test_what_a_prompt_lacks_is_named(gone, part):
    text = Prompt("judge-v1").system.replace(gone, "")
    assert any(part in missing for missing in missing_parts(text))


def test_a_file_of_the_same_name_goes_before_a_bundled_version(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "judge-v1").write_text("Mine.")
    assert Prompt("judge-v1").system == "Mine."
