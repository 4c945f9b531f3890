"""A third set of ways to write a line otherwise, by someone who did not know the decoding.

It was written after the second set's tricks were mended, out of the two sets alone, and is kept as is: what attackers
and their tools (Bashfuscator, GTFOBins, and for Windows see there) do beyond those sets.
"""

from __future__ import annotations

import base64
import json
import random
import re
import shlex
import zlib

from _respelt_third_windows import THIRD_WINDOWS, address_number
from _respelt_unix import _bare, _bash, _call, _text
from _respelt_windows import Way, pieces_of

__all__ = ["THIRD_UNIX", "THIRD_WINDOWS"]

_BUILTINS = re.compile(
    r"(?:\.|alias|cd|command|declare|eval|exec|exit|export|fg|history|jobs|let|popd|pushd|read|set|shopt|source|trap|type"
    r"|ulimit|umask|unalias|unset|wait)(?: .*)?"
)
#: What bash knows and a plain sh may not.
_BASH_ONLY = re.compile(r"<<<|[<>]\(|>&(?! ?\d)|&>|\[\[|\$'|/dev/(?:tcp|udp)/|\{[^{}]*,|\$\{!|\$\{\w+[:/^,@]|\bsource ")


def _for_sh(line: str) -> str | None:
    """The text of a line as a plain sh takes it."""
    text = _text(line)
    return f"bash -c {shlex.quote(text)}" if text and _BASH_ONLY.search(text) else text


def _within(*ways: str, without: str = "") -> Way:
    """The whole text, in one of its forms, in one of the ways; those that begin with a bar go to bash."""

    def respelt(line: str, rng: random.Random) -> str | None:
        text, key = _for_sh(line), rng.randrange(1, 32)
        if not text or len(text) < 6 or not text.isascii() or set(text) & set(without):
            return None
        code, (a, b, c) = text.encode(), (json.dumps(piece) for piece in pieces_of(text, rng, 3))
        packed = zlib.compress(f"import os;os.system({json.dumps(text)})".encode())
        way = rng.choice(ways).format(
            q=shlex.quote(text), a=a, b=b, c=c, key=key, codes=",".join(map(str, code)),
            blanks=" ".join(map(str, code)), hex=code.hex(), cs="%c" * len(text),
            xored=bytes(x ^ key for x in code).hex(), back=json.dumps(text[::-1]), b64=base64.b64encode(code).decode(),
            zipped=base64.b64encode(packed).decode(), percents="".join(f"%{x:02x}" for x in code),
            escapes="".join(f"\\x{x:02x}" for x in code),
        )  # fmt: skip
        return _bash(way[1:], rng) if way[0] == "|" else way

    return respelt


def sh_filler(line: str, rng: random.Random) -> str | None:
    """A letter of no use here and there, taken out again."""
    text, mark = _for_sh(line), rng.choice("XQZ_@,")
    if not text or mark in text:
        return None
    filled = shlex.quote("".join(c + mark * (rng.random() < 0.4) for c in text))
    ways = ("echo {0}|tr -d {1}|sh", "sed s/{1}//g<<<{0}|bash", 'v={0};eval "${{v//{1}}}"')
    return _bash(rng.choice(ways).format(filled, mark), rng)


def sh_positional(line: str, rng: random.Random) -> str | None:
    head, *rest = (_bare(line) or "").split(" ")
    if len(head) < 2 or "=" in head or len(rest) > 6:
        return None
    words = [*pieces_of(head, rng, 2), *rest]
    order = rng.sample(range(len(words)), len(words))
    places = [f"${order.index(i) + 1}" for i in range(len(words))]
    call, given = " ".join([places[0] + places[1], *places[2:]]), " ".join(words[i] for i in order)
    return _bash(rng.choice((f"set -- {given};{call}", f"f(){{ {call};}};f {given}")), rng)


def sh_indirection(line: str, rng: random.Random) -> str | None:
    call, (a, b, c, d) = _call(line), rng.sample("abcdghkmnqrstuvwxyz", 4)
    if not call:
        return None
    one, two = pieces_of(call[0], rng, 2)
    ways = (f"{a}={one};{b}={two};{c}={a};{d}={b};${{!{c}}}${{!{d}}}", f"{a}={one}{two};declare -n {b}={a};${b}")
    return _bash(rng.choice(ways) + call[1], rng)


def sh_letters(line: str, rng: random.Random) -> str | None:
    """An array of the letters and their places in it (Bashfuscator's "for code")."""
    text, name = _text(line), rng.choice("abkmz")
    if not text or len(text) > 150:
        return None
    letters = rng.sample(sorted(set(text)), len(set(text)))
    places = " ".join(str(letters.index(c)) for c in text)
    return _bash(
        f'{name}=({" ".join(map(shlex.quote, letters))});for i in {places};do printf %s "${{{name}[$i]}}";done|bash',
        rng,
    )


def sh_braces_joined(line: str, rng: random.Random) -> str | None:
    text = _for_sh(line)
    if not text or len(text) < 8 or "," in text:
        return None
    pieces = ",".join(map(shlex.quote, pieces_of(text, rng, rng.randint(4, 7))))
    return _bash(rng.choice(('eval "$(printf %s {{{}}})"', "printf %s {{{}}}|sh")).format(pieces), rng)


def sh_wrappers(line: str, rng: random.Random) -> str | None:
    text = _bare(line)
    if not text or _BUILTINS.fullmatch(text):
        return None
    known = ("nice -n 5", "timeout 300", "setsid", "stdbuf -oL", "ionice -c 3", "nohup", "env -u Z")
    return f"{' '.join(rng.sample(known, rng.randint(1, 4)))} env -S " + text.replace(" ", r"\_")


def sh_alias(line: str, rng: random.Random) -> str | None:
    call, name = _call(line), rng.choice(("q", "ll2", "zz"))
    ways = ("alias {0}={1}\n{0}{2}", "alias {0}={1};eval {3}", "BASH_ALIASES[{0}]={1};eval {3}")
    return call and _bash(
        f"shopt -s expand_aliases;{rng.choice(ways)}".format(name, *call, shlex.quote(name + call[1])), rng
    )


def sh_nested(line: str, rng: random.Random) -> str | None:
    text = _for_sh(line)
    if not text or len(text) > 150:
        return None
    for _ in range(rng.randint(2, 3)):
        doubled = '"' + re.sub(r'(["\\$`])', r"\\\1", text) + '"'
        shell = rng.choice(("sh -c", "/bin/bash -c", "eval", "env bash -c", ":;bash -c"))
        text = f"{shell} {rng.choice((shlex.quote(text), doubled))}"
    return _bash(text, rng)


def sh_continued(line: str, rng: random.Random) -> str | None:
    text = _bare(line)
    return text and _bash(re.sub(r"(?<=\w\w)(?=\w)", lambda _: "\\\n" if rng.random() < 0.3 else "", text), rng)


def sh_arithmetic(line: str, rng: random.Random) -> str | None:
    text = _bare(line)

    def sum_of(found: re.Match[str]) -> str:
        number, part = int(found[0]), rng.randrange(2, 99)
        return rng.choice((f"$(({number - part}+{part}))", f"$((0x{number:x}))", f"$(({number * part}/{part}))"))

    respelt = text and re.sub(r"(?<!\d)(?:[1-9]\d{0,9}|0)(?!\d)", sum_of, text)
    return _bash(respelt, rng) if respelt and respelt != text else None


def sh_alphabet(line: str, rng: random.Random) -> str | None:
    """Letters of the program out of a string, or the program out of the middle of one."""
    call = _call(line)
    if not call:
        return None
    head, lead = call[0], "".join(rng.sample("abcdefgh", rng.randint(1, 5)))
    letters, at = "".join(rng.sample(sorted(set(head)), len(set(head)))), len(lead)
    ways = (
        f"k={letters};" + "".join(f"${{k:{letters.index(c)}:1}}" for c in head),
        f"$(cut -c{at + 1}-{at + len(head)}<<<{lead}{head}zz)", f"$(expr substr {lead}{head}qq {at + 1} {len(head)})",
        f"$(dd bs=1 skip={at} count={len(head)} 2>/dev/null<<<{lead}{head})",
    )  # fmt: skip
    return _bash(rng.choice(ways) + call[1], rng)


def sh_ifs(line: str, rng: random.Random) -> str | None:
    text, mark, name = _bare(line), rng.choice(",_:@+]"), rng.choice("cxz")
    found = text and " " in text and mark not in text
    return _bash(f"IFS={mark};{name}={text.replace(' ', mark)};${name}", rng) if text and found else None


THIRD_UNIX: dict[str, Way] = {
    "awk system": _within('awk BEGIN{{system(sprintf("{cs}",{codes}))}}', "awk BEGIN{{x={b};system({a} x {c})}}"),
    "perl": _within(
        'perl -e exec("sh","-c",pack("H*","{hex}"))', 'perl -e exec "sh","-c",join"",map{{chr}}({codes})',
        'perl -MMIME::Base64 -e system("/bin/sh","-c",decode_base64("{b64}"))',
    ),
    "python": _within(
        "python3 -c import os;os.system(''.join(map(chr,[{codes}])))", "python3 -c import os;os.system({back}[::-1])",
        "python3 -c import os;os.system(bytes(c^{key} for c in bytes.fromhex('{xored}')))",
        "python3 -c import zlib,base64;exec(zlib.decompress(base64.b64decode('{zipped}')))",
    ),
    "php, node, ruby": _within(
        "php -r system(base64_decode('{b64}'));", "ruby -e exec('{b64}'.unpack('m')[0])",
        "node -e require('child_process').execSync(Buffer.from('{b64}','base64')+'',{{stdio:'inherit'}})",
    ),
    "printf %o": _within(
        '|for i in {blanks};do printf "\\\\$(printf %o $i)";done|sh',
        '|eval "$(for i in {blanks};do printf "\\x$(printf %x $i)";done)"',
    ),
    "base64 by other tools": _within(
        "|openssl base64 -d -A<<<{b64}|sh", "|echo {b64}|openssl enc -base64 -A -d|bash",
        "|echo {b64}|python3 -m base64 -d|sh", "|perl -MMIME::Base64 -ne 'print decode_base64$_'<<<{b64}|sh",
    ),
    "URL's percents": _within(
        '|x={percents};printf "${{x//%/\\\\x}}"|bash', "|printf %b \"$(sed 's/%/\\\\x/g'<<<{percents})\"|sh"
    ),
    "trap": _within("|trap {q} EXIT", "|trap {q} USR1;kill -USR1 $$"),
    "printf -v": _within(
        "|printf -v c %b '{escapes}';eval \"$c\"", "|c='{escapes}';eval \"${{c@E}}\"",
        '|mapfile -t c<<<{q};eval "${{c[0]}}"',
    ),
    "programs that run others": _within(
        "|find /etc/passwd -exec sh -c {q} \\;", "|sed -n 1e{q} /etc/passwd", "|flock -u / -c {q}",
        "|busybox sh -c {q}", "|tar cf /dev/null /dev/null --checkpoint=1 --checkpoint-action=exec={q}",
        "|git -c alias.q=!{q} q", "|make -s --eval=q:\\;@{q} q", "|/lib64/ld-linux-x86-64.so.2 /bin/sh -c {q}",
        without="{}$#%",
    ),
    "filler letters": sh_filler, "positional": sh_positional, "indirection": sh_indirection,
    "array of letters": sh_letters, "braces joined": sh_braces_joined, "wrappers": sh_wrappers, "alias": sh_alias,
    "nested shells": sh_nested, "continued lines": sh_continued, "arithmetic": sh_arithmetic,
    "letters of a string": sh_alphabet, "IFS": sh_ifs, "address as a number": address_number,
}  # fmt: skip
