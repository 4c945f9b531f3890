"""Slots of operations: builds, containers, clouds, the Windows directory, disks and networks, secrets, names of files.

One small function per slot, as in `slots`. No `password` or `token` has the typed prefix of a real secret.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Protocol

from cmdclf.errors import LexiconError
from cmdclf.lexicon.estate import Estate

__all__ = ["RESERVED", "SYSTEM_SLOTS", "hexadecimal", "length_argument"]

#: Names that the internet reserves for documentation.
RESERVED = ("example.com", "example.net", "example.org")
MARKS = "!-_.+@"  # none means anything inside a word to cmd, PowerShell or sh
LOWER = "abcdefghijklmnopqrstuvwxyz"
ALNUM = LOWER.upper() + LOWER + "0123456789"
_VERBS = ("check", "sync", "rotate", "install", "clean", "collect", "export", "update", "start", "test", "run", "fix")


class Drawing(Protocol):
    """What a slot may use of one rendering (see `slots.SlotContext`)."""

    platform: str
    rng: random.Random
    estate: Estate

    def value(self, name: str, args: str = "") -> str:
        """The value of `{{name:args}}` in this rendering."""
        ...


SYSTEM_SLOTS: dict[str, Callable[[Drawing, str], str]] = {}


def _slot(function: Callable[[Drawing, str], str]) -> Callable[[Drawing, str], str]:
    SYSTEM_SLOTS[function.__name__] = function
    return function


def length_argument(args: str, default: int) -> int:
    """The number of characters that a slot asks for.

    Raises:
        LexiconError: `args` is no number from 1 to 99999.
    """
    if not args:
        return default
    if not re.fullmatch(r"[1-9][0-9]{0,4}", args):
        raise LexiconError(f"'{args}' is no length", remedy="Write a number from 1 to 99999 after the colon")
    return int(args)


def hexadecimal(rng: random.Random, n: int) -> str:
    """`n` lower-case hex digits."""
    return f"{rng.getrandbits(4 * n):0{n}x}"


@_slot
def epoch(c: Drawing, args: str) -> str:
    return str(1735689600 + c.rng.randrange(700 * 86400))


@_slot
def build(c: Drawing, args: str) -> str:
    r = c.rng
    return r.choice(
        (str(r.randint(100, 99999)), f"{c.value('date', '%Y%m%d')}.{r.randint(1, 30)}", f"r{r.randint(100, 9999)}")
    )


@_slot
def thumbprint(c: Drawing, args: str) -> str:
    return hexadecimal(c.rng, 40).upper()


@_slot
def kb(c: Drawing, args: str) -> str:
    return f"KB50{c.rng.randint(0, 99999):05d}"


@_slot
def ticket(c: Drawing, args: str) -> str:
    return f"{c.rng.choice(('INC', 'CHG', 'REQ', 'OPS-'))}{c.rng.randint(10000, 999999):07d}"


@_slot
def task_name(c: Drawing, args: str) -> str:
    name = c.rng.choice(c.estate.tasks)
    if c.platform == "windows":
        return name if c.rng.random() < 0.5 else f"{c.value('product').split(' ')[0]}\\{name}"
    stem = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
    return stem if c.platform == "linux" else f"com.example.{stem}"


@_slot
def pipe(c: Drawing, args: str) -> str:
    return f"{c.rng.choice(c.estate.words)}{c.rng.choice(('-', '_', ''))}{hexadecimal(c.rng, c.rng.choice((4, 8)))}"


@_slot
def reg_key(c: Drawing, args: str) -> str:
    vendor, product = c.value("product").split(" ", 1)
    root = c.rng.choice(("HKLM\\SOFTWARE\\", "HKLM\\SOFTWARE\\", "HKLM\\SOFTWARE\\WOW6432Node\\", "HKCU\\Software\\"))
    return f"{root}{vendor}\\{product}"


@_slot
def container(c: Drawing, args: str) -> str:
    return hexadecimal(c.rng, 12)


@_slot
def image(c: Drawing, args: str) -> str:
    r = c.rng
    start = f"registry.{r.choice(RESERVED)}/{r.choice(c.estate.namespaces)}/"
    tag = r.choice(("latest", "stable", c.value("version"), hexadecimal(r, 8)))
    return f"{start}{r.choice(c.estate.words)}-{r.choice(('api', 'web', 'worker', 'job', 'tools'))}:{tag}"


@_slot
def namespace(c: Drawing, args: str) -> str:
    return c.rng.choice(c.estate.namespaces)


@_slot
def pod(c: Drawing, args: str) -> str:
    end = "".join(c.rng.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
    return f"{c.rng.choice(c.estate.words)}-{hexadecimal(c.rng, c.rng.choice((9, 10)))}-{end}"


@_slot
def commit(c: Drawing, args: str) -> str:
    return hexadecimal(c.rng, length_argument(args, 40))


@_slot
def branch(c: Drawing, args: str) -> str:
    r = c.rng
    made = f"{r.choice(('feature', 'bugfix', 'release', 'hotfix'))}/{r.choice(c.estate.words)}-{r.randint(10, 9999)}"
    return r.choice(("main", "develop", made, made))


@_slot
def package(c: Drawing, args: str) -> str:
    return f"{c.rng.choice(c.estate.words)}-{c.rng.choice(('client', 'agent', 'tools', 'core', 'utils', 'plugin'))}"


@_slot
def mount(c: Drawing, args: str) -> str:
    name = c.rng.choice(("data", "backup", "media", "scratch", "archive", "exports"))
    start = {"windows": "DEFG", "linux": ("/mnt/", "/srv/", "/"), "macos": ("/Volumes/",)}
    return c.rng.choice(start[c.platform]) + (":\\" if c.platform == "windows" else "") + name


@_slot
def device(c: Drawing, args: str) -> str:
    n = c.rng.randint(1, 4)
    if c.platform == "windows":
        return f"\\\\.\\PhysicalDrive{n}"
    if c.platform == "macos":
        return f"/dev/disk{n}s{c.rng.randint(1, 3)}"
    return c.rng.choice((f"/dev/sd{c.rng.choice('bcde')}{n}", f"/dev/nvme{n}n1p1", f"/dev/mapper/vg0-lv{n}"))


@_slot
def iface(c: Drawing, args: str) -> str:
    names = {"windows": "Ethernet,Ethernet 2,Wi-Fi,vEthernet", "linux": "eth0,ens192,enp3s0,bond0", "macos": "en0,en1"}
    return c.rng.choice(names[c.platform].split(","))


@_slot
def cidr(c: Drawing, args: str) -> str:
    r = c.rng
    n = r.randint(16, 31)
    return r.choice((f"10.{n}.0.0/16", f"192.168.{n}.0/24", f"172.{n}.0.0/20"))


@_slot
def ipv6(c: Drawing, args: str) -> str:
    return f"2001:db8:{hexadecimal(c.rng, 4)}::{c.rng.randint(1, 65535):x}"


@_slot
def password(c: Drawing, args: str) -> str:
    r = c.rng
    if r.random() < 0.5:
        return f"{r.choice(c.estate.words).title()}{r.randint(1, 2026)}{r.choice(MARKS)}"
    return r.choice("abcdefghkmXYZ") + "".join(r.choices(ALNUM + MARKS, k=r.randint(8, 15))) + r.choice(ALNUM)


@_slot
def token(c: Drawing, args: str) -> str:
    return "".join(c.rng.choices(ALNUM, k=length_argument(args, 40)))


@_slot
def ou(c: Drawing, args: str) -> str:
    parts = [f"OU={unit}" for unit in c.rng.sample(c.estate.units, c.rng.randint(1, 2))]
    return ",".join([*parts, *(f"DC={part}" for part in c.estate.domain.split("."))])


@_slot
def group(c: Drawing, args: str) -> str:
    r = c.rng
    if c.platform != "windows":
        return r.choice(("ops", "deploy", "docker", "staff", "admin", "developers", "wheel"))
    return f"{r.choice(('GG', 'DL', 'SEC'))}-{r.choice(c.estate.units)}-{r.choice(('RW', 'RO', 'Admins', 'Users'))}"


@_slot
def person(c: Drawing, args: str) -> str:
    return f"{c.rng.choice(c.estate.first_names).title()} {c.rng.choice(c.estate.last_names).title()}"


@_slot
def file_doc(c: Drawing, args: str) -> str:
    r = c.rng
    stem = r.choice(c.estate.documents)
    more = r.choice(
        (
            "",
            f" {c.value('date', '%Y')}",
            f" v{r.randint(2, 9)}",
            f" ({r.randint(1, 9)})",
            f" {c.value('date', '%d.%m.%Y')}",
        )
    )
    return f"{stem}{more}.{args or r.choice(('docx', 'xlsx', 'pdf', 'pptx', 'txt', 'csv'))}"


@_slot
def file_exe(c: Drawing, args: str) -> str:
    r = c.rng
    stem = r.choice((r.choice(c.estate.words).title(), c.value("product").replace(" ", "")))
    end = r.choice(("", "Svc", "Helper", "Setup", "64", "_x64", "Update", "-cli"))
    return f"{stem}{end}.exe" if c.platform == "windows" else f"{stem}{end}".lower()


@_slot
def script(c: Drawing, args: str) -> str:
    r = c.rng
    verb = r.choice(_VERBS)
    kind = args or r.choice(("ps1", "ps1", "cmd", "bat", "vbs") if c.platform == "windows" else ("sh", "sh", "py"))
    name, sign = r.choice(c.estate.words), r.choice("-_ ").strip()
    return f"{verb}{sign}{name}.{kind}" if r.random() < 0.7 else f"{verb.title()}{sign}{name.title()}.{kind}"


@_slot
def odd_name(c: Drawing, args: str) -> str:
    letters = c.rng.choice((LOWER, LOWER, LOWER + "0123456789", LOWER + LOWER.upper()))
    first = c.rng.choice(letters[:26])
    return first + "".join(c.rng.choices(letters, k=length_argument(args, c.rng.randint(4, 9)) - 1))


@_slot
def bundle(c: Drawing, args: str) -> str:
    return f"{c.rng.choice(('com', 'org', 'net'))}.example.{c.value('product').split(' ')[-1].lower()}"


@_slot
def database(c: Drawing, args: str) -> str:
    return f"{c.rng.choice(c.estate.words)}{c.rng.choice(('', 'db', '_prod', '_test', 'DB'))}"


@_slot
def bucket(c: Drawing, args: str) -> str:
    return f"example-{c.rng.choice(c.estate.words)}-{c.rng.choice(('logs', 'backup', 'assets', 'data', 'builds'))}"


@_slot
def region(c: Drawing, args: str) -> str:
    return c.rng.choice(("eu-central-1", "eu-west-1", "us-east-1", "us-west-2", "ap-southeast-1"))
