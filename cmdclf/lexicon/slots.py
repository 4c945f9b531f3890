"""What each slot of a template turns into: one small function per slot.

Slots without arguments give a plausible value of the template's platform. `path_*` are folders without a trailing
separator, `share` is a UNC path (`/mnt/NAME` elsewhere), `drive` is `D:`, `domain` the directory's DNS name, `netbios`
its short name, `date` and `time` take a strftime format, `guid` takes `upper`, `ip` is a documentation address, `fqdn`
a reserved outside host, `server` such a host, such an address or a private one, `url` lies on a reserved host and takes
the file's name. Slots of operations are in `slots_systems`, what each means in `slot_table`. Benign and malicious
templates draw from the same pools, so that no name gives a label away.
"""

from __future__ import annotations

import base64
import datetime as dt
import random
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from cmdclf.errors import LexiconError
from cmdclf.lexicon.estate import Estate
from cmdclf.lexicon.slots_systems import RESERVED, SYSTEM_SLOTS, hexadecimal, length_argument

__all__ = ["SLOTS", "SlotContext", "slot_function", "slot_stem"]

EPOCH = dt.datetime(2025, 1, 1)
_HOSTS = (
    "www cdn files dl updates repo mirror assets api portal static get support pool relay jump downloads packages "
    "deploy registry s3 sftp ftp git ntp dns proxy mgmt inventory status time mail brew"
)
HOST_PARTS = tuple(_HOSTS.split())
FILES = ("setup.exe", "agent.msi", "install.sh", "tool.zip", "update.ps1", "package.tar.gz", "config.json", "data.bin")
PORTS = (22, 80, 443, 445, 1433, 3306, 3389, 5432, 5985, 8000, 8080, 8443, 9000, 9100)
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
DOCUMENTATION_NETS = ("192.0.2.", "198.51.100.", "203.0.113.")
HOMES = {"windows": "C:\\Users\\", "linux": "/home/", "macos": "/Users/"}


@dataclass(slots=True)
class SlotContext:
    """The values that one rendering has drawn so far; the same slot gives the same value again."""

    platform: str
    rng: random.Random
    estate: Estate
    memo: dict[str, str] = field(default_factory=dict)

    def value(self, name: str, args: str = "") -> str:
        """The value of `{{name:args}}` in this rendering."""
        key = f"{name}:{args}"
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = slot_function(name)(self, args)
        return found


SlotFunction = Callable[[SlotContext, str], str]
SLOTS: dict[str, SlotFunction] = dict(SYSTEM_SLOTS)


def _slot(function: SlotFunction) -> SlotFunction:
    SLOTS[function.__name__.strip("_")] = function
    return function


def slot_stem(name: str) -> str:
    """The slot that a name means, numbered or not: `user2` is `user`, `b642` and `b64_2` are `b64`.

    Raises:
        LexiconError: there is no such slot.
    """
    stem = name
    while stem not in SLOTS and stem[-1:].isdigit():
        stem = stem[:-1]
    stem = stem if stem in SLOTS else stem.rstrip("_")
    if stem not in SLOTS:
        raise LexiconError(f"unknown slot '{{{{{name}}}}}'", remedy=f"Known slots: {', '.join(sorted(SLOTS))}, payload")
    return stem


def slot_function(name: str) -> SlotFunction:
    """The function of a slot, numbered or not.

    Raises:
        LexiconError: there is no such slot.
    """
    return SLOTS[slot_stem(name)]


def integer_range(args: str) -> tuple[int, int]:
    """Lowest and highest number of `{{int:LOW-HIGH}}`.

    Raises:
        LexiconError: `args` is no range of less than 2**63 numbers below 2**63.
    """
    match = re.fullmatch(r"([0-9]{1,19})-([0-9]{1,19})", args)
    if match is None or not int(match[1]) <= int(match[2]) < 2**63 or int(match[2]) - int(match[1]) >= 2**63 - 1:
        raise LexiconError(f"'{args}' is no range", remedy="Write {{int:LOW-HIGH}} with LOW <= HIGH")
    return int(match[1]), int(match[2])


def hosts_of(estate: Estate, platform: str) -> tuple[str, ...]:
    """The estate's hosts of a platform.

    Raises:
        LexiconError: there is no such platform.
    """
    if platform not in estate.hosts:
        raise LexiconError(f"'{platform}' is no platform", remedy=f"Use one of {', '.join(estate.hosts)}")
    return estate.hosts[platform]


def shares_of(estate: Estate, platform: str) -> tuple[str, ...]:
    """The estate's shares as a platform names them."""
    return estate.shares if platform == "windows" else tuple("/mnt/" + s.rsplit("\\", 1)[1] for s in estate.shares)


@_slot
def user(c: SlotContext, args: str) -> str:
    return c.rng.choice(c.estate.users)


@_slot
def host(c: SlotContext, args: str) -> str:
    return c.rng.choice(hosts_of(c.estate, args or c.platform))


@_slot
def domain(c: SlotContext, args: str) -> str:
    return c.estate.domain


@_slot
def netbios(c: SlotContext, args: str) -> str:
    return c.estate.netbios


@_slot
def guid(c: SlotContext, args: str) -> str:
    text = str(uuid.UUID(int=c.rng.getrandbits(128), version=4))
    return text.upper() if args == "upper" else text


@_slot
def _hex(c: SlotContext, args: str) -> str:
    return hexadecimal(c.rng, length_argument(args, 32))


@_slot
def sha1(c: SlotContext, args: str) -> str:
    return hexadecimal(c.rng, 40)


@_slot
def sha256(c: SlotContext, args: str) -> str:
    return hexadecimal(c.rng, 64)


@_slot
def md5(c: SlotContext, args: str) -> str:
    return hexadecimal(c.rng, 32)


@_slot
def _int(c: SlotContext, args: str) -> str:
    return str(c.rng.randint(*integer_range(args)))


@_slot
def port(c: SlotContext, args: str) -> str:
    return str(c.rng.choice(PORTS) if c.rng.random() < 0.6 else c.rng.randint(1024, 65535))


@_slot
def pid(c: SlotContext, args: str) -> str:
    return str(c.rng.randint(100, 8000) * (4 if c.platform == "windows" else 1))


@_slot
def ip(c: SlotContext, args: str) -> str:
    return c.rng.choice(DOCUMENTATION_NETS) + str(c.rng.randint(1, 254))


@_slot
def ip_private(c: SlotContext, args: str) -> str:
    r = c.rng
    net = r.choice((f"10.{r.randint(0, 255)}", f"172.{r.randint(16, 31)}", "192.168"))
    return f"{net}.{r.randint(0, 255)}.{r.randint(1, 254)}"


@_slot
def mac(c: SlotContext, args: str) -> str:
    return "02:" + ":".join(f"{c.rng.randrange(256):02x}" for _ in range(5))


@_slot
def sid(c: SlotContext, args: str) -> str:
    return f"{c.estate.sid_base}-{c.rng.randint(1103, 9999)}"


@_slot
def version(c: SlotContext, args: str) -> str:
    r = c.rng
    parts = [r.randint(1, 24), r.randint(0, 20), r.randint(0, 9999 if r.random() < 0.3 else 40)]
    if r.random() < 0.4:
        parts.append(r.randint(0, 400))
    return ".".join(map(str, parts))


@_slot
def date(c: SlotContext, args: str) -> str:
    return (EPOCH + dt.timedelta(days=c.rng.randrange(700))).strftime(args or "%Y-%m-%d")


@_slot
def time(c: SlotContext, args: str) -> str:
    return (EPOCH + dt.timedelta(seconds=c.rng.randrange(86400))).strftime(args or "%H:%M")


@_slot
def word(c: SlotContext, args: str) -> str:
    return c.rng.choice(c.estate.words)


@_slot
def service(c: SlotContext, args: str) -> str:
    return c.rng.choice(c.estate.services[c.platform])


@_slot
def product(c: SlotContext, args: str) -> str:
    return c.rng.choice(c.estate.products)


@_slot
def pick(c: SlotContext, args: str) -> str:
    return c.rng.choice(args.split("|"))


@_slot
def share(c: SlotContext, args: str) -> str:
    return c.rng.choice(shares_of(c.estate, c.platform))


@_slot
def drive(c: SlotContext, args: str) -> str:
    return c.rng.choice("CDEF") + ":"


@_slot
def email(c: SlotContext, args: str) -> str:
    return f"{c.value('user')}@{c.rng.choice(RESERVED)}"


@_slot
def fqdn(c: SlotContext, args: str) -> str:
    r = c.rng
    first = r.choice(HOST_PARTS) if r.random() < 0.7 else r.choice(c.estate.words)
    return f"{first}{r.randint(1, 20) if r.random() < 0.2 else ''}.{r.choice(RESERVED)}"


@_slot
def server(c: SlotContext, args: str) -> str:
    return c.rng.choice((fqdn, ip, ip_private))(c, "")


@_slot
def url(c: SlotContext, args: str) -> str:
    r = c.rng
    folder = "/".join(r.choice(c.estate.words) for _ in range(r.randint(0, 2)))
    start = f"{r.choice(('https', 'https', 'http'))}://{fqdn(c, '')}/"
    return f"{start}{folder}{'/' if folder else ''}{args or r.choice(FILES)}"


@_slot
def b64(c: SlotContext, args: str) -> str:
    n = length_argument(args, 44)
    if n % 4 == 0:
        return base64.b64encode(c.rng.randbytes(n // 4 * 3)).decode()
    return "".join(c.rng.choices(BASE64, k=n))


@_slot
def path_home(c: SlotContext, args: str) -> str:
    return HOMES[c.platform] + c.value("user")


@_slot
def path_temp(c: SlotContext, args: str) -> str:
    if c.platform == "windows":
        return "C:\\Windows\\Temp" if c.rng.random() < 0.4 else c.value("path_home") + "\\AppData\\Local\\Temp"
    if c.platform == "macos" and c.rng.random() < 0.5:
        return f"/var/folders/{hexadecimal(c.rng, 2)}/{hexadecimal(c.rng, 30)}/T"
    return c.rng.choice(("/tmp", "/tmp", "/var/tmp"))  # noqa: S108 - text of a command line, no file of ours


@_slot
def path_program(c: SlotContext, args: str) -> str:
    name = c.value("product")
    if c.platform == "windows":
        return c.rng.choice(("C:\\Program Files\\", "C:\\Program Files (x86)\\")) + name
    if c.platform == "macos":
        return f"/Applications/{name}.app"
    return "/opt/" + name.lower().replace(" ", "-")
