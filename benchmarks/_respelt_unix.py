"""Unix command lines written otherwise, by ways that the embedder's training doesn't know.

A way takes a line and a source of randomness and gives the line respelt so that a shell still does the same, or the
line itself or None where it doesn't apply. What a shell would expand stands after `bash -c`, as a sensor records it:
the arguments joined, without the outer quotes.
"""

from __future__ import annotations

import base64
import codecs
import gzip
import json
import random
import re
import shlex

from _respelt_windows import Way, pieces_of, tabs

from cmdclf.lexicon.wrappers import peel

__all__ = ["UNIX"]

_LONGEST = 300
_BASH = ("bash -c {}", "/bin/bash -c {}", "/usr/bin/bash -c {}")
#: A program and words without anything that the shell would read in them.
_BARE = re.compile(r"[\w./-]+(?: [\w./:@=+,-]+)*")
_CALL = re.compile(
    r"(?!(?:if|for|while|until|case|select|function|time|coproc)\b)([A-Za-z_./][\w./-]*)( .*)?", re.DOTALL
)


def _text(line: str) -> str | None:
    """What a shell would run."""
    found = peel(line)
    text = found[1] if found and found[0] == "sh" else line
    return text if len(text) <= _LONGEST and "\n" not in text else None


def _bare(line: str) -> str | None:
    text = _text(line)
    return text if text and _BARE.fullmatch(text) else None


def _call(line: str) -> tuple[str, str] | None:
    """The program and the rest, which begins with a blank or is empty."""
    found = _CALL.fullmatch(_text(line) or "")
    return (found[1], found[2] or "") if found and len(found[1]) > 1 else None


def _bash(script: str, rng: random.Random) -> str:
    return rng.choice(_BASH).format(script)


def sh_ansi_c(line: str, rng: random.Random) -> str | None:
    text = _bare(line)
    if not text or not text.isascii():
        return None
    words = text.split(" ")
    for at in {0, *rng.sample(range(len(words)), min(2, len(words)))}:
        form = rng.choice(("\\x{:02x}", "\\{:03o}"))
        words[at] = "$'" + "".join(form.format(ord(c)) for c in words[at]) + "'"
    return _bash(" ".join(words), rng)


def sh_octal(line: str, rng: random.Random) -> str | None:
    call = _call(line)
    if not call or not call[0].isascii():
        return None
    codes = [f"{ord(c):03o}" for c in call[0]]
    way, mark = rng.choice((("$(printf '{}')", "\\"), ("`printf '{}'`", "\\"), ("$(echo -e '{}')", "\\0")))
    return _bash(way.format("".join(mark + code for code in codes)) + call[1], rng)


def sh_braces(line: str, rng: random.Random) -> str | None:
    text = _bare(line)
    return _bash("{" + text.replace(" ", ",") + "}", rng) if text and " " in text and "," not in text else None


def sh_reversed(line: str, rng: random.Random) -> str | None:
    text = _text(line)
    return text and _bash(rng.choice(("echo {}|rev|bash", "rev<<<{}|sh")).format(shlex.quote(text[::-1])), rng)


def sh_hex(line: str, rng: random.Random) -> str | None:
    text = _text(line)
    return text and _bash(f"echo {text.encode('utf-8', 'replace').hex()}|xxd -r -p|{rng.choice(('sh', 'bash'))}", rng)


def sh_rot13(line: str, rng: random.Random) -> str | None:
    text = _text(line)
    turned = text and shlex.quote(codecs.encode(text, "rot13"))
    return text and _bash(f"eval \"$(tr 'A-Za-z' 'N-ZA-Mn-za-m' <<< {turned})\"", rng)


def sh_base32(line: str, rng: random.Random) -> str | None:
    text = _text(line)
    return text and _bash(f"echo {base64.b32encode(text.encode('utf-8', 'replace')).decode()} | base32 -d | bash", rng)


def sh_gzip(line: str, rng: random.Random) -> str | None:
    text = _text(line)
    packed = text and base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), mtime=0)).decode()
    return text and _bash(f"echo {packed} | base64 -d | {rng.choice(('gunzip', 'gzip -d', 'zcat'))} | sh", rng)


def sh_here_string(line: str, rng: random.Random) -> str | None:
    text = _text(line)
    return text and _bash(
        rng.choice(("bash<<<{}", "source <(echo {})", "sh < <(printf %s {})")).format(shlex.quote(text)), rng
    )


def sh_variables(line: str, rng: random.Random) -> str | None:
    text = _text(line)
    if not text or len(text) < 6:
        return None
    pieces = pieces_of(text, rng, rng.choice((2, 3, 4)))
    names = rng.sample("abcdefghkmnpqrstuvwxyz", len(pieces))
    given = [f"{name}={shlex.quote(piece)}" for name, piece in zip(names, pieces, strict=True)]
    rng.shuffle(given)
    return _bash(f'{";".join(given)};eval "{"".join(f"${{{name}}}" for name in names)}"', rng)


def sh_strip(line: str, rng: random.Random) -> str | None:
    call = _call(line)
    if not call:
        return None
    name, junk = rng.choice("vwxz"), rng.choice(("zz", "foo", "qq1", "x_"))
    ways = (f"{name}={junk}{call[0]};${{{name}#{junk}}}", f"{name}={call[0]}{junk};${{{name}%{junk}}}")
    return _bash(rng.choice(ways) + call[1], rng)


def sh_slashes(line: str, rng: random.Random) -> str | None:
    text = _bare(line)
    slash = rng.choice(("${PATH:0:1}", "${HOME:0:1}", "${PWD:0:1}"))
    return _bash(text.replace("/", slash), rng) if text and "/" in text else None


def sh_empty(line: str, rng: random.Random) -> str | None:
    text = _bare(line)
    mark = rng.choice(("$@", "$*", "$()", "${uu}", "``"))

    def broken(found: re.Match[str]) -> str:
        at = rng.randrange(1, len(found[0]))
        return found[0][:at] + mark + found[0][at:]

    return text and _bash(re.sub(r"[A-Za-z]{3,}", broken, text), rng)


def sh_glob(line: str, rng: random.Random) -> str | None:
    text = _bare(line)

    def masked(found: re.Match[str]) -> str:
        at = rng.randrange(1, len(found[1]))
        return f"/{found[1][:at]}?{found[1][at + 1 :]}"

    if not text or not re.search(r"(?:^| )/\w", text):
        return None
    return _bash(" ".join(re.sub(r"/(\w{3,})", masked, w) if w[0] == "/" else w for w in text.split(" ")), rng)


def sh_interpreter(line: str, rng: random.Random) -> str | None:
    text = _text(line)
    if not text or not text.isascii():
        return None
    if rng.random() < 0.5 and "'" not in text and "\\" not in text:
        return rng.choice(("perl -e system('{}')", "/usr/bin/perl -e exec '{}'")).format(text)
    module = rng.choice(("import os;os.system({})", "import subprocess as s;s.call({},shell=True)"))
    return f"python3 -c {module.format(json.dumps(text))}"


def sh_xargs(line: str, rng: random.Random) -> str | None:
    text = _bare(line)
    if not text or " " not in text:
        return None
    head, _, rest = text.partition(" ")
    return _bash(
        rng.choice(("echo {1} | xargs {0}", "xargs {0} <<< '{1}'", "printf '%s' '{1}'|xargs {0}")).format(head, rest),
        rng,
    )


def sh_case(line: str, rng: random.Random) -> str | None:
    call = _call(line)
    if not call or call[0] != call[0].lower():
        return None
    ways = ("$(tr A-Z a-z<<<{})", "$(echo {}|tr '[:upper:]' '[:lower:]')", "c={};${{c,,}}")
    return _bash(rng.choice(ways).format(call[0].upper()) + call[1], rng)


def sh_path(line: str, rng: random.Random) -> str | None:
    def roundabout(found: re.Match[str]) -> str:
        return found[1] + rng.choice(("./", "/", "../" + found[2] + "/", ".//./"))

    # From the parent's folder back into the folder itself: /usr/../usr/bin.
    return re.sub(r"(?<![^ ])(/(usr|etc|bin|var|opt|tmp|home|lib)/)", roundabout, line)


UNIX: dict[str, Way] = {
    "$'\\x63'": sh_ansi_c, "printf octal": sh_octal, "braces": sh_braces, "rev": sh_reversed, "xxd": sh_hex,
    "rot13": sh_rot13, "base32": sh_base32, "gzip": sh_gzip, "here string": sh_here_string,
    "eval of variables": sh_variables,
    "${v#x}": sh_strip, "${PATH:0:1}": sh_slashes, "empty expansions": sh_empty, "wildcards": sh_glob,
    "another interpreter": sh_interpreter, "xargs": sh_xargs, "upper case and tr": sh_case, "roundabout path": sh_path,
    "tabs": tabs,
}  # fmt: skip
