from __future__ import annotations

import base64
import gzip
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.errors import LexiconError
from cmdclf.lexicon import Estate, Lexicon, Template, render
from cmdclf.lexicon.render import encode_payload, image_of
from cmdclf.lexicon.slots import SLOTS
from cmdclf.lexicon.template import SLOT

LEXICON = Lexicon.load()
ARGUMENTS = {"int": "3-17", "pick": "a|b c|d"}


def one(line: str, platform: str = "windows", *, seed: int = 1, payload: str = "", estate: Estate | None = None) -> str:
    template = Template(id="t", label="benign", platform=platform, role="r", line=line, payload=payload)
    return render(template, random.Random(seed), estate=estate).command_line


@pytest.mark.parametrize("seed", range(3))
def test_no_bundled_template_leaves_a_slot_behind(seed: int) -> None:
    rng = random.Random(seed)
    for template in LEXICON:
        rendered = render(template, rng)
        for text in (rendered.command_line, rendered.parent_command_line or ""):
            assert not SLOT.search(text), template.id
            text.encode("utf-8")


def test_rendering_is_deterministic_and_the_seed_matters() -> None:
    changing = [t for t in LEXICON if "{{guid}}" in t.line or "{{sha1}}" in t.line]
    for template in changing:
        assert render(template, random.Random(7)) == render(template, random.Random(7))
        assert render(template, random.Random(7)) != render(template, random.Random(8))


@pytest.mark.parametrize("platform", ["windows", "linux", "macos"])
@pytest.mark.parametrize("slot", sorted(SLOTS))
def test_every_slot_gives_text_on_every_platform(slot: str, platform: str) -> None:
    args = ARGUMENTS.get(slot, "")
    value = one(f"{{{{{slot}:{args}}}}}" if args else f"{{{{{slot}}}}}", platform)
    assert value.strip()
    assert "\n" not in value


def test_the_same_slot_is_the_same_value_unless_numbered() -> None:
    first, again, other = one("{{guid}} {{guid}} {{guid2}}").split()
    assert first == again != other


def test_a_home_belongs_to_the_user_of_the_line() -> None:
    user, home = one("{{user}} {{path_home}}").split(" ", 1)
    assert home == f"C:\\Users\\{user}"


def test_hosts_lie_on_reserved_names_and_addresses_and_urls_share_their_pool() -> None:
    hosts = {one("{{fqdn}}", seed=s) for s in range(400)}
    assert all(re.fullmatch(r"[a-z0-9]+\.example\.(com|net|org)", h) for h in hosts)
    in_urls = {one("{{url}}", seed=s).split("/")[2] for s in range(400)}
    assert {h.split(".")[0].rstrip("0123456789") for h in in_urls} & {"support", "cdn", "pool"}
    assert len(hosts & in_urls) > 50
    servers = [one("{{server}}", seed=s) for s in range(60)]
    assert any(s.endswith((".com", ".net", ".org")) for s in servers)
    assert any(s.startswith(("192.0.2.", "198.51.100.", "203.0.113.")) for s in servers)
    assert any(s.startswith(("10.", "172.", "192.168.")) for s in servers)


def test_no_bundled_template_fixes_an_outside_host() -> None:
    fixed = re.compile(r"(?<![a-z0-9.-])[a-z0-9-]+\.example\.(com|net|org)\b", re.IGNORECASE)
    for template in LEXICON:
        assert not fixed.search("\n".join((template.line, template.parent, template.payload))), template.id


def test_foreign_braces_are_literal_text() -> None:
    line = "docker ps --format {{.Names}} && helm template -f {{ .Values.x }} {{{guid:upper}}}"
    assert re.fullmatch(
        r"docker ps --format \{\{\.Names\}\} && helm template -f \{\{ \.Values\.x \}\} \{[0-9A-F-]{36}\}", one(line)
    )


def test_payloads_decode_to_the_rendered_text() -> None:
    text = one(
        "{{user}} {{payload:base64}} {{payload:hex}} {{payload:gzip-base64}} {{payload:ps-encoded}}",
        payload="hi {{user}}",
    )
    user, b64, hexed, zipped, encoded = text.split(" ")
    wanted = f"hi {user}"
    assert base64.b64decode(b64).decode() == wanted
    assert bytes.fromhex(hexed).decode() == wanted
    assert gzip.decompress(base64.b64decode(zipped)).decode() == wanted
    assert base64.b64decode(encoded).decode("utf-16-le") == wanted


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=200))
def test_encodings_lose_nothing(text: str) -> None:
    assert base64.b64decode(encode_payload(text, "ps-encoded")).decode("utf-16-le") == text
    assert gzip.decompress(base64.b64decode(encode_payload(text, "gzip-base64"))).decode() == text


def test_an_estate_gives_users_hosts_and_domain_of_one_company() -> None:
    estate = Estate.from_seed(4, users=5, hosts=12)
    drawn = {one("{{user}}|{{host}}|{{domain}}", seed=s, estate=estate) for s in range(60)}
    users, hosts, domains = (set(column) for column in zip(*(d.split("|") for d in drawn), strict=True))
    assert users <= set(estate.users)
    assert hosts <= set(estate.hosts["windows"])
    assert domains == {estate.domain}


def test_an_unknown_slot_names_the_template() -> None:
    with pytest.raises(LexiconError, match=r"template 't'.*unknown slot"):
        one("{{nothing}}")


def test_the_image_is_the_program_that_the_line_names() -> None:
    assert image_of('"C:\\Program Files\\a b\\c.exe" -x', "windows") == "C:\\Program Files\\a b\\c.exe"
    assert image_of("C:\\Program Files\\a b\\c.exe -x", "windows") == "C:\\Program Files\\a b\\c.exe"
    assert image_of("/bin/sh -c ls", "linux") == "/bin/sh"
    assert image_of("cmd /c dir", "windows") is None
    assert image_of("", "linux") is None
