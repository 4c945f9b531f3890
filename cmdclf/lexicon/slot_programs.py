"""The slots that vary most, as programs of the machine; the others are drawn from tables of their values.

What a slot means is said once, by its function in `slots` and `slots_systems`. A program here writes values of the
same form from the same pools (a test compares the two), thousands of times faster.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import cache

from cmdclf.lexicon import slots as s
from cmdclf.lexicon.assembly import Assembly, Program
from cmdclf.lexicon.estate import Estate
from cmdclf.lexicon.slots_systems import ALNUM, LOWER, MARKS, RESERVED, length_argument

__all__ = ["SLOT_PROGRAMS", "SlotProgram"]


class SlotProgram(Program):
    """A program that knows slots: their values by name and arguments, each drawn once per line.

    Args:
        assembly: where strings lie.
        platform: of the line.
        estate: where names come from.
    """

    def __init__(self, assembly: Assembly, platform: str, estate: Estate) -> None:
        super().__init__(assembly)
        self.platform = platform
        self.estate = estate

    def value(self, name: str, args: str = "", *, slug: bool = False) -> None:
        """The value of `{{name:args}}` in this line."""
        key = f"{name}:{args}"
        if not self.defined(key):
            write = SLOT_PROGRAMS[s.slot_stem(name)]
            self.define(key, lambda: write(self, args))
        self.copy(key, slug=slug)


SLOT_PROGRAMS: dict[str, Callable[[SlotProgram, str], None]] = {}


def _slot(function: Callable[[SlotProgram, str], None]) -> Callable[[SlotProgram, str], None]:
    SLOT_PROGRAMS[function.__name__.strip("_")] = function
    return function


@cache
def _formatted(step: dt.timedelta, count: int, form: str) -> tuple[str, ...]:
    return tuple((s.EPOCH + step * i).strftime(form) for i in range(count))


@_slot
def user(p: SlotProgram, args: str) -> None:
    p.choice(p.estate.users)


@_slot
def host(p: SlotProgram, args: str) -> None:
    p.choice(s.hosts_of(p.estate, args or p.platform))


@_slot
def domain(p: SlotProgram, args: str) -> None:
    p.text(p.estate.domain)


@_slot
def netbios(p: SlotProgram, args: str) -> None:
    p.text(p.estate.netbios)


@_slot
def guid(p: SlotProgram, args: str) -> None:
    p.guid(upper=args == "upper")


@_slot
def _hex(p: SlotProgram, args: str) -> None:
    p.hexadecimal(length_argument(args, 32))


@_slot
def sha1(p: SlotProgram, args: str) -> None:
    p.hexadecimal(40)


@_slot
def sha256(p: SlotProgram, args: str) -> None:
    p.hexadecimal(64)


@_slot
def md5(p: SlotProgram, args: str) -> None:
    p.hexadecimal(32)


@_slot
def thumbprint(p: SlotProgram, args: str) -> None:
    p.hexadecimal(40, upper=True)


@_slot
def container(p: SlotProgram, args: str) -> None:
    p.hexadecimal(12)


@_slot
def commit(p: SlotProgram, args: str) -> None:
    p.hexadecimal(length_argument(args, 40))


@_slot
def token(p: SlotProgram, args: str) -> None:
    p.letters(length_argument(args, 40), ALNUM)


@_slot
def b64(p: SlotProgram, args: str) -> None:
    p.letters(length_argument(args, 44), s.BASE64)


@_slot
def _int(p: SlotProgram, args: str) -> None:
    p.integer(*s.integer_range(args))


@_slot
def port(p: SlotProgram, args: str) -> None:
    p.either(0.6, lambda: p.choice([str(k) for k in s.PORTS]), lambda: p.integer(1024, 65535))


@_slot
def pid(p: SlotProgram, args: str) -> None:
    p.integer(100, 8000, 4 if p.platform == "windows" else 1)


@_slot
def epoch(p: SlotProgram, args: str) -> None:
    p.integer(1735689600, 1735689600 + 700 * 86400 - 1)


@_slot
def ip(p: SlotProgram, args: str) -> None:
    p.choice(s.DOCUMENTATION_NETS)
    p.integer(1, 254)


@_slot
def ip_private(p: SlotProgram, args: str) -> None:
    def net(start: str, low: int, high: int) -> Callable[[], None]:
        def write() -> None:
            p.text(start)
            p.integer(low, high)

        return write

    p.one_of(net("10.", 0, 255), net("172.", 16, 31), lambda: p.text("192.168"))
    p.text(".")
    p.integer(0, 255)
    p.text(".")
    p.integer(1, 254)


@_slot
def mac(p: SlotProgram, args: str) -> None:
    p.text("02")
    for _ in range(5):
        p.text(":")
        p.hexadecimal(2)


@_slot
def sid(p: SlotProgram, args: str) -> None:
    p.text(p.estate.sid_base + "-")
    p.integer(1103, 9999)


@_slot
def version(p: SlotProgram, args: str) -> None:
    p.integer(1, 24)
    p.text(".")
    p.integer(0, 20)
    p.text(".")
    p.either(0.3, lambda: p.integer(0, 9999), lambda: p.integer(0, 40))

    def fourth() -> None:
        p.text(".")
        p.integer(0, 400)

    p.either(0.4, fourth, lambda: None)


@_slot
def date(p: SlotProgram, args: str) -> None:
    p.choice(_formatted(dt.timedelta(days=1), 700, args or "%Y-%m-%d"))


@_slot
def time(p: SlotProgram, args: str) -> None:
    form = args or "%H:%M"
    # Formats without seconds give 1,440 texts, each of the same chance.
    exact = s.EPOCH.strftime(form) != (s.EPOCH + dt.timedelta(seconds=59)).strftime(form)
    p.choice(_formatted(dt.timedelta(seconds=1 if exact else 60), 86400 if exact else 1440, form))


@_slot
def word(p: SlotProgram, args: str) -> None:
    p.choice(p.estate.words)


@_slot
def service(p: SlotProgram, args: str) -> None:
    p.choice(p.estate.services[p.platform])


@_slot
def product(p: SlotProgram, args: str) -> None:
    p.choice(p.estate.products)


@_slot
def pick(p: SlotProgram, args: str) -> None:
    p.choice(args.split("|"))


@_slot
def share(p: SlotProgram, args: str) -> None:
    p.choice(s.shares_of(p.estate, p.platform))


@_slot
def drive(p: SlotProgram, args: str) -> None:
    p.choice(("C:", "D:", "E:", "F:"))


@_slot
def email(p: SlotProgram, args: str) -> None:
    p.value("user")
    p.choice([f"@{name}" for name in RESERVED])


@_slot
def fqdn(p: SlotProgram, args: str) -> None:
    p.either(0.7, lambda: p.choice(s.HOST_PARTS), lambda: p.choice(p.estate.words))
    p.either(0.2, lambda: p.integer(1, 20), lambda: None)
    p.choice([f".{name}" for name in RESERVED])


@_slot
def server(p: SlotProgram, args: str) -> None:
    p.one_of(lambda: fqdn(p, ""), lambda: ip(p, ""), lambda: ip_private(p, ""))


@_slot
def url(p: SlotProgram, args: str) -> None:
    def folders(n: int) -> Callable[[], None]:
        def write() -> None:
            for _ in range(n):
                p.choice([f"{stem}/" for stem in p.estate.words])

        return write

    p.choice(("https://", "https://", "http://"))
    fqdn(p, "")
    p.text("/")
    p.one_of(folders(0), folders(1), folders(2))
    p.choice((args,) if args else s.FILES)


@_slot
def path_home(p: SlotProgram, args: str) -> None:
    p.text(s.HOMES[p.platform])
    p.value("user")


@_slot
def path_temp(p: SlotProgram, args: str) -> None:
    def of_user() -> None:
        p.value("path_home")
        p.text("\\AppData\\Local\\Temp")

    def of_session() -> None:
        p.text("/var/folders/")
        p.hexadecimal(2)
        p.text("/")
        p.hexadecimal(30)
        p.text("/T")

    def shared() -> None:
        p.choice(("/tmp", "/tmp", "/var/tmp"))  # noqa: S108 - text of a command line, no file of ours

    if p.platform == "windows":
        p.either(0.4, lambda: p.text("C:\\Windows\\Temp"), of_user)
    elif p.platform == "macos":
        p.either(0.5, of_session, shared)
    else:
        shared()


@_slot
def path_program(p: SlotProgram, args: str) -> None:
    if p.platform == "windows":
        p.choice(("C:\\Program Files\\", "C:\\Program Files (x86)\\"))
        p.value("product")
    elif p.platform == "macos":
        p.text("/Applications/")
        p.value("product")
        p.text(".app")
    else:
        p.text("/opt/")
        p.value("product", slug=True)


@_slot
def kb(p: SlotProgram, args: str) -> None:
    p.text("KB50")
    p.digits(5, zero_first=True)


@_slot
def ticket(p: SlotProgram, args: str) -> None:
    def number(zeros: str, low: int, high: int) -> Callable[[], None]:
        def write() -> None:
            p.text(zeros)
            p.integer(low, high)

        return write

    p.choice(("INC", "CHG", "REQ", "OPS-"))
    p.either(90 / 99, number("0", 100_000, 999_999), number("00", 10_000, 99_999))


@_slot
def odd_name(p: SlotProgram, args: str) -> None:
    def name(letters: str, n: int) -> Callable[[], None]:
        def write() -> None:
            p.letters(1, letters[:26])
            p.letters(n - 1, letters)

        return write

    sizes = [length_argument(args, 4)] if args else range(4, 10)
    p.one_of(*(name(t, n) for t in (LOWER, LOWER, LOWER + "0123456789", LOWER + LOWER.upper()) for n in sizes))


@_slot
def password(p: SlotProgram, args: str) -> None:
    def spoken() -> None:
        p.choice([word.title() for word in p.estate.words])
        p.integer(1, 2026)
        p.choice(MARKS)

    def random_of(n: int) -> Callable[[], None]:
        return lambda: p.letters(n, ALNUM + MARKS)

    def random_one() -> None:
        p.letters(1, "abcdefghkmXYZ")
        p.one_of(*(random_of(n) for n in range(8, 16)))
        p.letters(1, ALNUM)

    p.either(0.5, spoken, random_one)
