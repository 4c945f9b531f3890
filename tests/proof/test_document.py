"""The document: made of the results alone."""

from __future__ import annotations

import copy
import re

import pytest

from cmdclf.cli import main
from cmdclf.proof import tables as t
from cmdclf.proof import write_document
from cmdclf.proof.arms import OWN
from cmdclf.proof.claims import claims, won


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("document") / "RESULTS.md"
    assert write_document(results, path, command="cmdclf prove --pool lines.parquet") == path
    return path.parent


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "RESULTS.md").read_text(encoding="utf-8")


def _tables(text):
    """The Markdown tables of a page: lists of rows, each a list of cells."""
    found, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
        elif rows:
            found.append(rows)
            rows = []
    return found


def _every_table(results):
    return {
        "published": t.published_table(results), "ab": t.controls(results, "ab"), "rb": t.controls(results, "rb"),
        "knowing": t.knowing(results),
        "budgets": t.budgets(results), "shipped": t.shipped(results), "judges": t.wrong_judges(results),
        "detectors": t.detectors(results), "days": t.days(results), "variations": t.variations(results),
    }  # fmt: skip


def test_every_row_of_every_table_has_a_cell_for_each_head(results):
    tables = _every_table(results)
    assert all(rows for name, (_, rows) in tables.items() if name != "variations")
    for head, rows in tables.values():
        assert all(len(row) == len(head) for row in rows)
        assert all("|" not in cell and "\n" not in cell for row in rows for cell in row)


def test_the_page_is_markdown_with_its_tables_and_pictures_and_no_figure_that_is_none(page, folder):
    tables = _tables(page)
    assert len(tables) == 10
    for rows in tables:
        assert set(rows[1]) == {"---"}
        assert len({len(row) for row in rows}) == 1
    assert not re.search(r"\b(nan|None|inf)\b", page)
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert len(pictures) == 3
    assert all((folder / name).read_text(encoding="utf-8").lstrip().startswith("<svg") for name in pictures)
    heads = re.findall(r"^## (.+)$", page, re.M)
    assert len(heads) == len(set(heads))
    assert "cmdclf prove --pool lines.parquet" in page


def test_the_same_results_in_another_order_give_the_same_page(results, page, tmp_path):
    turned = results | {"arms": dict(reversed(results["arms"].items()))}
    path = write_document(turned, tmp_path / "again" / "RESULTS.md", command="cmdclf prove --pool lines.parquet")
    assert path.read_text(encoding="utf-8") == page


def test_no_figure_is_typed(results, page, tmp_path):
    """Where a result changes, the page does; the figures of a page are those of its results."""
    other = copy.deepcopy(results)

    def moved(value):
        if isinstance(value, dict):
            return {k: moved(v) for k, v in value.items()}
        if isinstance(value, list):
            return [moved(v) for v in value]
        return value + 0.0371 if isinstance(value, float) else value

    for part in ("arms", "rotations"):
        other[part] = moved(other[part])
    path = write_document(other, tmp_path / "RESULTS.md", command="x")
    texts = [page, path.read_text(encoding="utf-8")]
    figures = [set(re.findall(r"\d\.\d{3}\b", text)) for text in texts]
    typed = {"0.998"} | set(re.findall(r"\d\.\d{3}\b", str(t.PUBLISHED)))
    mine = {f"{abs(v):.3f}" for v in _floats(results)}
    assert figures[0] - typed <= mine
    # By place, as two sets of so many figures have some in common by chance.
    mine, others = ([re.findall(r"\d\.\d{3}\b", str(table)) for table in _tables(text)] for text in texts)
    assert [len(table) for table in mine] == [len(table) for table in others]
    pairs = [pair for a, b in zip(mine, others, strict=True) for pair in zip(a, b, strict=True)]
    assert sum(a == b for a, b in pairs) < len(pairs) / 20


def _floats(value):
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _floats(inner)
    elif isinstance(value, float | int):
        yield float(value)


def test_without_arms_that_know_the_lexicon_nothing_is_said_of_it(results):
    bare = results | {"arms": {k: a for k, a in results["arms"].items() if "lexicon" not in k}}
    assert t.knowing(bare)[1] == []
    assert not any("lexicon" in text for text in claims(bare))


def test_the_passed_lines_of_a_judge_are_counted_over_all_rotations_as_its_answers_are(results):
    name = next(k for k in results["arms"] if k.endswith("recorded"))
    arm = results["arms"][name] | {"wrong": 1.5, "of_rotations": [0, 1], "verdicts": {"benign": 30, "pending": 10}}
    rows = t.wrong_judges(results | {"arms": results["arms"] | {name: arm}})[1]
    (row,) = [row for row in rows if row[0].startswith("recorded")]
    assert any("30 of 40 answered; malicious passed: 3" in cell for cell in row)


def test_arms_that_were_not_run_leave_dashes_or_no_section(results, tmp_path):
    bare = results | {"arms": {k: a for k, a in results["arms"].items() if k.startswith("ab | ") and "base" in k}}
    bare |= {"curves": {}, "warnings": []}
    text = write_document(bare, tmp_path / "RESULTS.md", command="x").read_text(encoding="utf-8")
    assert "## With the classifier that is shipped" not in text
    assert "## Warnings" not in text
    assert all(len({len(row) for row in rows}) == 1 for rows in _tables(text))
    assert [c.split(":")[0] for c in claims(bare)] == ["**The time split stays at 0.998 and more"]


def test_warnings_stand_on_the_page(page, results):
    assert results["warnings"]
    assert all(f"- {text}" in page for text in results["warnings"])


def _figure(mean, low, high):
    return {"mean": mean, "ci95": [low, high], "rotations": [mean]}


def test_a_claim_holds_fails_or_is_open_as_its_interval_says(results):
    arm = copy.deepcopy(results)
    gain = arm["arms"]["ab | combined | 20 | noise 0.01"]
    for low, high, said in ((0.1, 0.2, "holds"), (-0.2, -0.1, "does not hold"), (-0.1, 0.1, "is not decided")):
        gain["to_base"]["auc"] = _figure((low + high) / 2, low, high)
        assert f"raise AB's incident AUC: {said}." in claims(arm)[0]
    arm["arms"]["ab | full | 20 | noise 0.01"]["to_random"]["auc"] = _figure(0, -0.1, 0.1)
    for low, high, said in ((0.1, 0.2, "holds for `combined`"), (-0.2, -0.1, "`combined` is worse")):
        gain["to_random"]["auc"] = _figure((low + high) / 2, low, high)
        (text,) = [c for c in claims(arm) if "worth more to AB" in c]
        assert said in text


def test_ours_wins_only_where_the_intervals_are_disjoint(results):
    arm = copy.deepcopy(results)
    own, random = (arm["arms"][f"ab | {way} | 20 | noise 0.01"] for way in (OWN, "random"))
    own["auc"], random["auc"] = _figure(0.9, 0.86, 0.94), _figure(0.8, 0.75, 0.85)
    assert won(own, random, "auc")
    random["auc"] = _figure(0.8, 0.75, 0.87)
    assert not won(own, random, "auc")
    assert not won(random, own, "auc")


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0.12345, "0.123"), (1234567.0, "1,234,567.000")])
def test_a_number_or_a_dash(value, shown):
    assert t.number(value) == shown


def test_the_verb_says_what_holds_and_where_it_lies(small, few, proved, tmp_path, capsys, monkeypatch, results):
    import cmdclf.proof

    given = {}

    def prove(settings, out, *, progress):
        given.update(settings=settings, progress=progress)
        return results

    monkeypatch.setattr(cmdclf.proof, "prove", prove)
    command = ["prove", "--pool", str(small.pools[0]), "--quick", "--budget", "20", "--out", str(tmp_path), "--quiet"]
    assert main(command) == 0
    assert (given["settings"].budget, given["settings"].rotations, given["progress"]) == (20, 2, False)
    printed = capsys.readouterr().out
    assert str(tmp_path / "RESULTS.md") in printed
    assert all(text.replace("**", "") in printed for text in claims(results))
    page = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "cmdclf prove --pool lines.parquet --quick --budget 20 --out DIR" in page


def test_the_verb_names_a_pool_that_is_not_there(tmp_path, capsys):
    assert main(["prove", "--pool", str(tmp_path / "gone.parquet"), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert "gone.parquet: there is no such file" in err
    assert err.count("\n") == 1
