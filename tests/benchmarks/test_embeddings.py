import base64
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from _embedding_models import Dense, neighbour_scores, ranks
from _embedding_scores import Figure, difference, weighted_auc
from _embedding_tasks import Retrieval, held_out, read_groups, same_meaning
from _respelt_unix import UNIX
from _respelt_windows import WINDOWS

from cmdclf.errors import CmdclfError

POWERSHELL = "powershell.exe -NoProfile -Command \"Get-Process -Name spooler | Stop-Process -PassThru -Verbose:'all'\""
CMDLET = "powershell -c Get-WmiObject Win32_Process -ComputerName server01"
CMD = "cmd /c net user bob Passw0rd1 /add /domain"
PATH = "C:\\Windows\\System32\\net.exe use C:\\Program Files\\Fabrikam\\share"


def of_windows(way, line):
    return WINDOWS[way](line, random.Random(3))


@pytest.mark.parametrize("way", WINDOWS)
def test_a_windows_way_changes_a_line_that_it_applies_to_and_leaves_the_others(way):
    made = [
        (line, of_windows(way, line)) for line in (POWERSHELL, CMDLET, CMD, PATH, "net user bob", "", "\N{EN DASH}")
    ]
    assert any(respelt and respelt != line for line, respelt in made)
    assert [of_windows(way, line) for line, _ in made] == [respelt for _, respelt in made]


def test_what_powershell_would_put_together_again_is_the_script():
    script = "Get-WmiObject Win32_Process -ComputerName server01"
    codes = re.findall(r"\d+", re.search(r"\(([\d,]+)", of_windows("character codes", CMDLET))[1])
    assert "".join(chr(int(code)) for code in codes) == script
    assert bytes.fromhex(re.search("'([0-9a-f]{20,})'", of_windows("hexadecimal", CMDLET))[1]).decode() == script
    assert re.search("'(.+?)';", of_windows("reversed string", CMDLET))[1][::-1] == script
    outer = base64.b64decode(of_windows("double base64", CMDLET).split()[-1]).decode("utf-16-le")
    assert base64.b64decode(re.search("'(.+)'", outer)[1]).decode("utf-16-le") == script
    pieces = of_windows("pieces in variables", CMDLET)
    given = dict(re.findall(r"(\$\w)='([^']*)'", pieces))
    assert "".join(given[name] for name in re.search(r"iex\((.+)\)", pieces)[1].split("+")) == script
    places, words = re.search(r"&\('([{}\d]+)'-f([^)]+)\)", of_windows("-f operator", CMDLET)).groups()
    assert places.format(*(word.strip("'") for word in words.split(","))) == "Get-WmiObject"


def test_what_cmd_would_put_together_again_is_the_command():
    command = "net user bob Passw0rd1 /add /domain"
    line = of_windows("cmd: for codes", CMD)
    alphabet, codes = re.search(r"set k=(.+?)&&for %i in \(([\d ]+)\)", line).groups()
    assert "".join(alphabet[int(code)] for code in codes.split()[:-1]) == command
    assert f"~-{len(command)}%" in line
    assert re.search("set r=(.+?)&&", of_windows("cmd: reversed", CMD))[1][::-1] == command
    marked, mark = re.search("set v=(.+?)&&call %v:(.+)=%", of_windows("cmd: replace", CMD)).groups()
    assert marked != command
    assert marked.replace(mark, "") == command
    line = of_windows("cmd: set and call", CMD)
    given = dict(re.findall(r"set (\w)=(.+?)&&", line))
    assert "".join(given[name] for name in re.findall(r"%(\w)%", line)) == command


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("way", UNIX)
def test_bash_does_the_same_when_a_unix_line_is_respelt(way, tmp_path):
    """As a sensor would record them the lines lack their outer quotes: everything after -c is one argument."""
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "words.txt").write_text("one two\n")
    lines = [
        f"/bin/cat {tmp_path}/some/words.txt",
        f"sh -c cat {tmp_path}/some/words.txt | sed 's/one/\"1\"/'",
        "printf %s-%s abc def",
    ]
    if way == "roundabout path":
        lines.append("/bin/cat /etc/hosts")

    def said(line):
        found = re.fullmatch(r"(\S+) (-c|-e) (.+)", line, re.DOTALL)
        words = list(found.groups()) if found else ["bash", "-c", line]
        words[0] = sys.executable if words[0] == "python3" else words[0]
        return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False, cwd=tmp_path).stdout

    changed = 0
    for line in lines:
        respelt = UNIX[way](line, random.Random(5))
        needs = [tool for tool in ("xxd", "rev", "base32", "perl") if tool in (respelt or "")]
        if respelt and respelt != line and all(map(shutil.which, needs)):
            changed += 1
            assert said(respelt) == said(line) != "", respelt
    assert changed or not all(map(shutil.which, ("xxd", "rev", "base32", "perl")))


def vectors(**of):
    table = {name: np.array(v, np.float32) / np.linalg.norm(v) for name, v in of.items()}
    model = Dense(lambda texts: np.stack([table[t] for t in texts]))
    model.prime(list(of))
    return model


def test_a_rank_counts_the_best_hit_loses_ties_and_skips_what_does_not_count():
    model = vectors(q=[1, 0], near=[1, 0.1], same=[1, 0.2], equal=[1, 0.2], far=[0, 1])
    task = Retrieval("t", ["q"], ["q", "near", "same", "equal", "far"], [[2, 4]], [[0]], ["c"], "")
    assert ranks(task, model) == [3]
    task.without = [[0, 1]]
    assert ranks(task, model) == [2]


def test_neighbours_of_the_same_fold_have_no_vote():
    knn = {"line": ["a", "b", "c"] + [f"x{i}" for i in range(15)], "malicious": [True, True, False] + [False] * 15,
           "fold": [0, 0, 1] + [1] * 15, "group": []}  # fmt: skip
    places = {name: [1, i / 100] for i, name in enumerate(knn["line"])}
    assert neighbour_scores(knn, vectors(**places))[:2] == [0, 0]


def test_the_weighted_auc_is_that_of_the_repeated_items():
    rng = np.random.default_rng(0)
    positive, scores, weights = rng.random(200) < 0.3, rng.integers(0, 20, 200) / 20, rng.integers(0, 4, 200)
    expected = roc_auc_score(positive.repeat(weights), scores.repeat(weights))
    assert weighted_auc(positive, scores, weights.astype(float)) == pytest.approx(expected)


def test_a_difference_between_models_is_bootstrapped_over_whole_clusters():
    def figure(values):
        return Figure(
            "", None, "", 4, over=(lambda w: float((values * w).sum() / w.sum()), np.array(["a", "a", "b", "b"]))
        )

    low, high = difference(figure(np.array([1.0, 1, 0, 0])), figure(np.zeros(4)))
    assert (low, high) == (0.0, 1.0)


def test_one_public_group_in_ten_is_held_out():
    assert 0.08 < np.mean([held_out(f"group {i}") for i in range(2000)]) < 0.12


def test_forms_of_the_same_tool_count_neither_way_when_another_tool_is_asked_for(tmp_path):
    path = tmp_path / "groups.jsonl"
    forms = [("sc.exe", "sc stop x"), ("C:\\w\\SC", "sc.exe stop x"), ("net", "net stop x")]
    group = {
        "op": "Stop it",
        "family": "f",
        "forms": [{"tool": t, "line": x} for t, x in forms],
        "other": ["sc start x"],
    }
    path.write_text(json.dumps(group))
    every, other_tool, sentence = same_meaning(read_groups(path, 10), ["sc stop x", "dir"])
    assert every.candidates == ["sc stop x", "sc.exe stop x", "net stop x", "sc start x", "dir"]
    assert every.hits == [[1, 2], [0, 2], [0, 1]]
    assert (other_tool.hits, other_tool.without) == ([[2], [2], [0, 1]], [[0, 1], [0, 1], [2]])
    assert (sentence.queries, sentence.hits) == (["Stop it"], [[0, 1, 2]])


def test_a_row_that_is_no_group_is_named(tmp_path):
    path = tmp_path / "groups.jsonl"
    path.write_text('{"op": "x", "family": "f", "forms": []}\n[1]\n')
    with pytest.raises(CmdclfError, match="no group") as error:
        read_groups(path, 10)
    assert error.value.row == 2
