"""A second set of ways to write a line otherwise, written after the decoding was mended for the first and kept as is.

It was measured before anything was changed because of it; then the decoding was mended by what it showed.
"""

from __future__ import annotations

import base64
import random
import re
import shlex
import string
import urllib.parse

from _respelt_unix import _bare, _bash, _call, _text
from _respelt_windows import _DELAYED, Way, _batch, _ps, _quoted, _script, pieces_of

__all__ = ["SECOND_UNIX", "SECOND_WINDOWS"]


def sh_array(line: str, rng: random.Random) -> str | None:
    call = _call(line)
    if not call:
        return None
    pieces = pieces_of(call[0], rng, rng.choice((2, 3)))
    name = rng.choice("abkmz")
    return _bash(
        f"{name}=({' '.join(pieces)});{''.join(f'${{{name}[{i}]}}' for i in range(len(pieces)))}{call[1]}", rng
    )


def sh_default(line: str, rng: random.Random) -> str | None:
    text = _bare(line)

    def given(found: re.Match[str]) -> str:
        at = rng.randrange(1, len(found[0]))
        return f"{found[0][:at]}${{{rng.choice(('q', 'zz', 'nope'))}:-{found[0][at]}}}{found[0][at + 1 :]}"

    return text and _bash(re.sub(r"[A-Za-z]{3,}", given, text), rng)


def sh_read(line: str, rng: random.Random) -> str | None:
    text = _text(line)
    ways = ('echo {}|while read -r l;do eval "$l";done', 'read -r c<<<{};eval "$c"', "printf '%s' {}|sh /dev/stdin")
    return text and _bash(rng.choice(ways).format(shlex.quote(text)), rng)


def sh_base64_twice(line: str, rng: random.Random) -> str | None:
    text = _text(line)
    packed = text and base64.b64encode(base64.b64encode(text.encode("utf-8", "replace"))).decode()
    return text and _bash(f"base64 -d<<<{packed}|base64 -d|{rng.choice(('sh', 'bash -s'))}", rng)


def sh_sed_letters(line: str, rng: random.Random) -> str | None:
    text = _text(line)
    turned = list(string.ascii_lowercase)
    rng.shuffle(turned)
    there = str.maketrans(string.ascii_lowercase, "".join(turned))
    return text and _bash(
        f"echo {shlex.quote(text.translate(there))}|sed 'y/{''.join(turned)}/{string.ascii_lowercase}/'|sh", rng
    )


def sh_function(line: str, rng: random.Random) -> str | None:
    call = _call(line)
    name = rng.choice(("f", "go", "_x", "run1"))
    return call and _bash(f'{name}(){{ {call[0]} "$@";}};{name}{call[1]}', rng)


def sh_here_document(line: str, rng: random.Random) -> str | None:
    text, mark = _text(line), rng.choice(("E", "EOF", "_x_"))
    return text and _bash(f"{rng.choice(('sh', 'bash', 'bash -s'))}<<'{mark}'\n{text}\n{mark}", rng)


def ps_script_block(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    return script and _ps(
        rng.choice(("&([scriptblock]::Create({}))", ".([ScriptBlock]::Create({}))")).format(_quoted(script)), rng
    )


def ps_invoke_script(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    return script and _ps(f"$ExecutionContext.InvokeCommand.InvokeScript({_quoted(script)})", rng)


def ps_unescape(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    return script and _ps(f"iex([uri]::UnescapeDataString('{urllib.parse.quote(script, safe='')}'))", rng)


def ps_array_reverse(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    return script and _ps(f"$c={_quoted(script[::-1])}.ToCharArray();[array]::Reverse($c);iex(-join $c)", rng)


def ps_insert(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    if not script or len(script) < 8:
        return None
    at = rng.randrange(1, len(script) - 4)
    size = rng.randint(2, 4)
    return _ps(f"iex({_quoted(script[:at] + script[at + size :])}.Insert({at},{_quoted(script[at : at + size])}))", rng)


def cmd_delayed(line: str, rng: random.Random) -> str | None:
    text = _batch(line)
    if not text or len(text) < 6:
        return None
    pieces = pieces_of(text, rng, rng.choice((2, 3)))
    names = rng.sample("abcdefghkmnpqrsuvwxyz", len(pieces))
    given = "&".join(f"set {name}={piece}" for name, piece in zip(names, pieces, strict=True))
    return rng.choice(_DELAYED).format(f"{given}&{''.join(f'!{name}!' for name in names)}")


def cmd_forfiles(line: str, rng: random.Random) -> str | None:
    text = _batch(line)
    return text and f'forfiles /p c:\\windows\\system32 /m {rng.choice(("notepad.exe", "cmd.exe"))} /c "cmd /c {text}"'


def cmd_if(line: str, rng: random.Random) -> str | None:
    text = _batch(line)
    return text and rng.choice(
        ("cmd /c if 1==1 ({})", 'cmd.exe /c "if exist %windir% ({})"', "cmd /c if defined OS {}")
    ).format(text)


def cmd_for_echo(line: str, rng: random.Random) -> str | None:
    text, name = _batch(line), rng.choice("abgikx")
    return text and f'cmd /c "for /f "tokens=*" %{name} in (\'echo {text}\') do @%{name}"'


SECOND_UNIX: dict[str, Way] = {
    "array": sh_array, "${v:-x}": sh_default, "read and eval": sh_read, "base64 twice": sh_base64_twice,
    "sed y": sh_sed_letters, "function": sh_function, "here document": sh_here_document,
}  # fmt: skip
SECOND_WINDOWS: dict[str, Way] = {
    "script block": ps_script_block, "InvokeScript": ps_invoke_script, "UnescapeDataString": ps_unescape,
    "[array]::Reverse": ps_array_reverse, "Insert": ps_insert, "cmd: delayed variables": cmd_delayed,
    "cmd: forfiles": cmd_forfiles, "cmd: if": cmd_if, "cmd: for of echo": cmd_for_echo,
}  # fmt: skip
