from __future__ import annotations

import random
import re

import pytest

from cmdclf.errors import LexiconError
from cmdclf.lexicon.estate import default_estate
from cmdclf.lexicon.slot_table import slot_table
from cmdclf.lexicon.slots import SLOTS, SlotContext

SHAPES = {
    "epoch": r"1[78]\d{8}",
    "build": r"\d{3,5}|20\d{6}\.\d+|r\d+",
    "thumbprint": r"[0-9A-F]{40}",
    "kb": r"KB50\d{5}",
    "ticket": r"(INC|CHG|REQ|OPS-)\d{7}",
    "pipe": r"[a-z]+[-_]?[0-9a-f]{4,8}",
    "reg_key": r"HK(LM|CU)\\(?i:software)\\[\w\\]+",
    "container": r"[0-9a-f]{12}",
    "image": r"registry\.example\.(com|net|org)/[a-z-]+/[a-z-]+:[0-9a-z.]+",
    "namespace": r"[a-z-]+",
    "pod": r"[a-z]+-[0-9a-f]{9,10}-[a-z2-9]{5}",
    "commit": r"[0-9a-f]{40}",
    "branch": r"[a-z]+(/[a-z]+-\d+)?",
    "package": r"[a-z]+-[a-z]+",
    "cidr": r"(10|172|192)\.\d+\.\d+\.0/\d\d",
    "ipv6": r"2001:db8:[0-9a-f]{4}::[0-9a-f]{1,4}",
    "password": r"[A-Za-z][\w!.+@-]{4,}",
    "token": r"[A-Za-z0-9]{40}",
    "ou": r"(OU=\w+,){1,2}DC=\w+,DC=\w+,DC=\w+",
    "person": r"[A-Z][a-z]+ [A-Z][a-z]+",
    "file_doc": r"[\w .()]+\.[a-z]{3,4}",
    "script": r"[A-Za-z]+[-_]?[A-Za-z]+\.[a-z0-9]{2,3}",
    "odd_name": r"[A-Za-z][A-Za-z0-9]{3,8}",
    "bundle": r"(com|org|net)\.example\.[a-z]+",
    "bucket": r"example-[a-z]+-[a-z]+",
    "region": r"[a-z]+-[a-z]+-\d",
}


def drawn(slot: str, args: str = "", *, platform: str = "windows", n: int = 60) -> set[str]:
    return {SlotContext(platform, random.Random(seed), default_estate()).value(slot, args) for seed in range(n)}


@pytest.mark.parametrize("slot", sorted(SHAPES))
def test_a_slot_of_operations_has_its_shape_on_every_platform(slot: str) -> None:
    for platform in ("windows", "linux", "macos"):
        values = drawn(slot, platform=platform)
        assert len(values) > 3, slot
        assert all(re.fullmatch(SHAPES[slot], value) for value in values), (slot, values)


def test_platforms_have_their_own_devices_interfaces_and_tasks() -> None:
    assert all(v.startswith("\\\\.\\PhysicalDrive") for v in drawn("device"))
    assert all(v.startswith("/dev/") for p in ("linux", "macos") for v in drawn("device", platform=p))
    assert drawn("iface").isdisjoint(drawn("iface", platform="linux"))
    assert any("\\" in v for v in drawn("task_name"))
    assert all(v == v.lower() for v in drawn("task_name", platform="linux"))
    assert all(v.endswith(".exe") for v in drawn("file_exe"))
    assert not any(v.endswith(".exe") for v in drawn("file_exe", platform="macos"))
    assert all(v[1:3] == ":\\" for v in drawn("mount"))
    assert all(v.startswith("/Volumes/") for v in drawn("mount", platform="macos"))


def test_lengths_and_kinds_are_arguments() -> None:
    assert {len(v) for v in drawn("commit", "8")} == {8}
    assert {len(v) for v in drawn("odd_name", "12")} == {12}
    assert {len(v) for v in drawn("token", "20")} == {20}
    assert all(v.endswith(".pdf") for v in drawn("file_doc", "pdf"))
    assert all(v.endswith(".ps1") for v in drawn("script", "ps1"))
    with pytest.raises(LexiconError, match="no length"):
        drawn("token", "many")


def test_no_secret_has_the_prefix_of_a_real_one() -> None:
    typed = re.compile(r"^(gh[pousr]_|AKIA|ASIA|xox[abprs]-|sk-|glpat-|eyJ)")
    assert not any(typed.match(v) for slot in ("token", "password") for v in drawn(slot, n=2000))


def test_a_slot_whose_name_ends_in_a_digit_takes_a_second_value() -> None:
    context = SlotContext("linux", random.Random(1), default_estate())
    assert context.value("sha256") != context.value("sha256_2")
    assert context.value("ipv6") != context.value("ipv6_2")
    assert context.value("sha256") == context.value("sha256")


def test_the_table_has_every_slot_once_with_a_meaning() -> None:
    rows = slot_table()
    names = [row.written.strip("{}").partition(":")[0] for row in rows]
    assert sorted(names) == sorted(SLOTS)
    assert not [row for row in rows if row.meaning == "not described yet"]
    assert slot_table() == rows
