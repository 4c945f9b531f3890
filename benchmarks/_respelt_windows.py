"""Windows command lines written otherwise, by ways that the embedder's training doesn't know.

A way takes a line and a source of randomness and gives the line respelt so that PowerShell or cmd still does the same,
or the line itself or None where it doesn't apply. Most are those of D. Bohannon's Invoke-Obfuscation and DOSfuscation.
"""

from __future__ import annotations

import base64
import random
import re
import zlib
from collections.abc import Callable

from cmdclf.lexicon.wrappers import peel

__all__ = ["WINDOWS", "Way", "pieces_of", "tabs"]

Way = Callable[[str, random.Random], str | None]
#: Encoded forms are several times as long; nobody hides a page of text in a command line by hand.
_LONGEST = 300
_POWERSHELL = (
    'powershell.exe -NoProfile -Command "{}"',
    'powershell -nop -w hidden -c "{}"',
    'C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe -NonInteractive -Command "{}"',
    'pwsh -NoLogo -Command "{}"',
)
_CMD = ("cmd /c {}", 'cmd.exe /c "{}"', 'C:\\Windows\\System32\\cmd.exe /d /c "{}"')
_DELAYED = ('cmd /v:on /c "{}"', 'cmd.exe /V:ON /C "{}"', 'C:\\Windows\\System32\\cmd.exe /v /c "{}"')
_PLAIN = re.compile(r"[A-Za-z][\w.-]*(?: [\w./\\:=+-]+)*")
_CMDLET = re.compile(r"[A-Za-z]+-[A-Za-z]+(?: [^;|{}()$@&]*)?")
_WORD = re.compile(r"[A-Za-z]{4,}")
#: Variables of every Windows and what they hold.
_KNOWN = {
    "COMSPEC": r"C:\WINDOWS\system32\cmd.exe", "ProgramFiles": r"C:\Program Files", "OS": "Windows_NT",
    "PUBLIC": r"C:\Users\Public", "ProgramData": r"C:\ProgramData",
    "CommonProgramFiles": r"C:\Program Files\Common Files",
}  # fmt: skip
_ALIASES = {
    "Get-ChildItem": "gci", "Invoke-WebRequest": "iwr", "Invoke-RestMethod": "irm", "Get-Process": "gps",
    "Get-Content": "gc",
    "Stop-Process": "spps", "Get-Service": "gsv", "Stop-Service": "spsv", "Start-Service": "sasv", "Remove-Item": "ri",
    "Copy-Item": "cpi", "Move-Item": "mi", "New-Item": "ni", "Set-ItemProperty": "sp", "Get-ItemProperty": "gp",
    "Get-WmiObject": "gwmi", "Invoke-WmiMethod": "iwmi", "Get-CimInstance": "gcim", "Import-Module": "ipmo",
    "Where-Object": "?", "ForEach-Object": "%", "Select-Object": "select", "Sort-Object": "sort", "Get-Item": "gi",
    "Start-Process": "saps", "Invoke-Command": "icm", "Invoke-Expression": "iex", "Set-Content": "sc",
    "Get-Command": "gcm", "Format-Table": "ft", "Format-List": "fl", "Write-Output": "echo", "Get-Location": "gl",
    "Set-Location": "sl", "Rename-Item": "rni", "Export-Csv": "epcsv", "Import-Csv": "ipcsv",
}  # fmt: skip


def pieces_of(text: str, rng: random.Random, pieces: int) -> list[str]:
    """The text in so many pieces, none empty."""
    marks = sorted(rng.sample(range(1, len(text)), min(pieces - 1, len(text) - 1)))
    return [text[a:b] for a, b in zip([0, *marks], [*marks, len(text)], strict=True)]


# PowerShell


def _script(line: str) -> str | None:
    """What PowerShell would run: the inner text of a powershell line, or a plain program call."""
    found = peel(line)
    if found and found[0] == "powershell":
        return found[1] if len(found[1]) <= _LONGEST and "\n" not in found[1] else None
    return line if not found and len(line) <= _LONGEST and _PLAIN.fullmatch(line) else None


def _ps(script: str, rng: random.Random) -> str:
    return rng.choice(_POWERSHELL).format(script.replace('"', '\\"'))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _formatted(text: str, rng: random.Random) -> str:
    """`text` by PowerShell's -f, its pieces in another order."""
    pieces = pieces_of(text, rng, rng.choice((2, 3)))
    order = list(range(len(pieces)))
    while order == sorted(order):
        rng.shuffle(order)
    places = "".join(f"{{{order.index(i)}}}" for i in range(len(pieces)))
    return f"('{places}'-f{','.join(_quoted(pieces[i]) for i in order)})"


def ps_format(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    if not script or not (_CMDLET.fullmatch(script) or _PLAIN.fullmatch(script)):
        return None
    head, _, rest = script.partition(" ")
    rest = re.sub(r"(?<= )[A-Za-z]{5,}(?= |$)", lambda m: _formatted(m[0], rng), f" {rest}", count=2)
    return _ps(f"&{_formatted(head, rng)}{rest.rstrip()}", rng) if len(head) > 2 else None


def ps_chars(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    if not script or len(script) > 120:
        return None
    codes = [str(ord(c)) for c in script]
    way = rng.choice(
        ("iex(-join({}|%{{[char]$_}}))", "iex([char[]]({})-join'')", "&(gal iex)(({}|%{{[char]$_}})-join'')")
    )
    return _ps(way.format(",".join(codes)), rng)


def ps_char_sum(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    if not script or len(script) > 60:
        return None
    return _ps("iex(" + "+".join(f"[char]{ord(c)}" for c in script) + ")", rng)


def ps_hex(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    if not script or not script.isascii():
        return None
    return _ps(f"iex(-join('{script.encode().hex()}'-split'(..)'|?{{$_}}|%{{[char][Convert]::ToByte($_,16)}}))", rng)


def ps_reversed(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    return script and _ps(f"$r={_quoted(script[::-1])};iex($r[-1..-$r.Length]-join'')", rng)


def ps_double_base64(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    if not script:
        return None
    inner = base64.b64encode(script.encode("utf-16-le", "replace")).decode()
    outer = f"iex([Text.Encoding]::Unicode.GetString([Convert]::FromBase64String('{inner}')))"
    return (
        f"{rng.choice(('powershell -nop', 'powershell.exe'))} -e {base64.b64encode(outer.encode('utf-16-le')).decode()}"
    )


def ps_deflate(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    if not script:
        return None
    packed = base64.b64encode(zlib.compress(script.encode("utf-8", "replace"))[2:-4]).decode()
    stream = f"[IO.MemoryStream][Convert]::FromBase64String('{packed}'),[IO.Compression.CompressionMode]::Decompress"
    reader = f"(New-Object IO.StreamReader((New-Object IO.Compression.DeflateStream({stream})),[Text.Encoding]::UTF8))"
    return _ps(f"iex {reader}.ReadToEnd()", rng)


def ps_marker(line: str, rng: random.Random) -> str | None:
    script, mark = _script(line), rng.choice(("zQ", "~", "#_", "0x0"))
    if not script or mark in script:
        return None
    text = _quoted(re.sub(r"(?<=\w)(?=\w)", lambda _: mark if rng.random() < 0.4 else "", script))
    return _ps(rng.choice((f"iex({text}.Replace('{mark}',''))", f"iex({text}-replace'{mark}')")), rng)


def ps_pieces(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    if not script or len(script) < 8:
        return None
    pieces = pieces_of(script, rng, rng.randint(3, 6))
    names = [f"${name}" for name in rng.sample("abcdghkmnqrstuvwxyz", len(pieces))]
    given = [f"{name}={_quoted(piece)}" for name, piece in zip(names, pieces, strict=True)]
    rng.shuffle(given)
    return _ps(f"{';'.join(given)};iex({'+'.join(names)})", rng)


def ps_aliases(line: str, rng: random.Random) -> str | None:
    if peel(line) is None or "powershell" not in line.lower():
        return None
    return re.sub(r"\b[A-Z][a-z]+-[A-Z]\w+", lambda m: _ALIASES.get(m[0], m[0]), line)


def ps_wildcard(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    if not script or not _CMDLET.fullmatch(script):
        return None
    head, _, rest = script.partition(" ")
    verb, _, noun = head.partition("-")
    if len(noun) < 6:
        return None
    at = rng.randrange(2, len(noun) - 2)
    return _ps(f"&(gcm {verb}-{noun[:at]}*{noun[at + 2 :]}) {rest}".rstrip(), rng)


def ps_dashes(line: str, rng: random.Random) -> str | None:
    """PowerShell takes en dash, em dash and horizontal bar for a hyphen."""
    if peel(line) is None or not re.search("powershell|pwsh", line, re.IGNORECASE):
        return None
    return re.sub(r"(?<= )-(?=[A-Za-z])", rng.choice("–—―"), line)


def ps_curly_quotes(line: str, rng: random.Random) -> str | None:
    """PowerShell takes curly quotes for straight ones."""
    script = _script(line)
    if not script or not re.search("'[^'\"]*'", script):
        return None
    return _ps(re.sub("'([^'\"]*)'", rng.choice(("‘\\1’", "’\\1’", "‚\\1’")), script), rng)


def ps_environment(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    if not script or re.search('["&|<>^%]', script):
        return None
    name = rng.choice(("x", "zz", "tmp1", "kk"))
    shell = rng.choice(("powershell -nop iex $env:{0}", 'powershell -c \\"iex(gci env:{0}).Value\\"'))
    return rng.choice(_CMD[1:]).format(f"set {name}={script}&&{shell.format(name)}")


# cmd


def _batch(line: str) -> str | None:
    """What cmd would run, without the characters that mean something to it."""
    found = peel(line)
    text = found[1] if found and found[0] == "cmd" else line if found is None else None
    return text if text and len(text) <= _LONGEST and not re.search(r"[&|<>^%!\"\n()]", text) else None


def cmd_substrings(line: str, rng: random.Random) -> str | None:
    text = _batch(line)
    if not text:
        return None
    places = {c: (n, at) for n, value in _KNOWN.items() for at, c in enumerate(value) if c.islower()}

    def spelt(word: re.Match[str]) -> str:
        at = rng.randrange(len(word[0]))
        found = places.get(word[0][at])
        return f"{word[0][:at]}%{found[0]}:~{found[1]},1%{word[0][at + 1 :]}" if found else word[0]

    return rng.choice(_CMD).format(_WORD.sub(spelt, text))


def cmd_set_call(line: str, rng: random.Random) -> str | None:
    text = _batch(line)
    if not text or len(text) < 6:
        return None
    # Blanks at the end of a value stay, as no blank stands before &&.
    pieces = pieces_of(text, rng, rng.choice((2, 3, 4)))
    names = rng.sample("abcdefghkmnpqrsuvwxyz", len(pieces))
    given = [f"set {name}={piece}" for name, piece in zip(names, pieces, strict=True)]
    rng.shuffle(given)
    return rng.choice(_CMD[1:]).format("&&".join([*given, "call " + "".join(f"%{n}%" for n in names)]))


def cmd_carets(line: str, rng: random.Random) -> str | None:
    """A caret before every letter and digit."""
    text = _batch(line)
    return text and rng.choice(("cmd /c {}", "cmd.exe /C {}")).format(re.sub(r"(?=[A-Za-z0-9])", "^", text))


def cmd_marker(line: str, rng: random.Random) -> str | None:
    text, mark = _batch(line), rng.choice(("ZZ", "#", "@@", "qX"))
    # The replacement ignores case, and can't remove what holds an equals sign.
    if not text or mark.lower() in text.lower() or "=" in text:
        return None
    marked = re.sub(r"(?<=\w)(?=\w)", lambda _: mark if rng.random() < 0.4 else "", text)
    return rng.choice(_CMD[1:]).format(f"set v={marked}&&call %v:{mark}=%")


def cmd_for_codes(line: str, rng: random.Random) -> str | None:
    """The letters by their places in an alphabet (Bohannon's "FORcoding")."""
    text = _batch(line)
    if not text or len(text) > 120:
        return None
    letters = sorted(set(text) - {" "})
    rng.shuffle(letters)
    # The blank in the middle: cmd would drop it at either end.
    alphabet = "".join(letters[:1]) + " " + "".join(letters[1:])
    codes, end, name = [str(alphabet.index(c)) for c in text], "99", rng.choice(("f", "out", "qq"))
    turns = f"for %i in ({' '.join([*codes, end])}) do set {name}=!{name}!!k:~%i,1!"
    return rng.choice(_DELAYED).format(f"set k={alphabet}&&{turns}&&if %i=={end} call %{name}:~-{len(text)}%")


def cmd_reversed(line: str, rng: random.Random) -> str | None:
    text = _batch(line)
    if not text or text != text.strip():
        return None
    name, last = rng.choice("fqwz"), len(text) - 1
    turns = f"for /L %i in ({last},-1,0) do set {name}=!{name}!!r:~%i,1!"
    return rng.choice(_DELAYED).format(f"set r={text[::-1]}&&{turns}&&if %i==0 call %{name}:~-{len(text)}%")


def cmd_separators(line: str, rng: random.Random) -> str | None:
    text = _batch(line)
    lead = "".join(rng.choice(",;") for _ in range(rng.randint(1, 3)))
    return text and rng.choice(("cmd /c ({}{})", "cmd.exe,/c,(({}{}))", ";,cmd.exe /c ( ( {} {} ) )")).format(
        lead, text
    )


def cmd_for_word(line: str, rng: random.Random) -> str | None:
    text = _batch(line)
    if not text or not re.match(r"[\w.\\:-]+ ", text):
        return None
    head, _, rest = text.partition(" ")
    letter = rng.choice("abgkqwxz")
    return rng.choice(_CMD).format(f"for %{letter} in ({head}) do @%{letter} {rest}")


def cmd_echo(line: str, rng: random.Random) -> str | None:
    text = _batch(line)
    return text and rng.choice(
        ("cmd /c echo {}|cmd", "cmd.exe /c echo {} | %COMSPEC%", 'cmd /s /c "echo {}|cmd /q"')
    ).format(text)


def win_path(line: str, rng: random.Random) -> str | None:
    def dotted(found: re.Match[str]) -> str:
        return found[0] + rng.choice((".\\", "Temp\\..\\", "System32\\..\\", ".\\.\\", "\\"))

    return re.sub(r"(?i)\bc:\\(?:windows|program files(?: \(x86\))?|programdata|users)\\", dotted, line)


def win_slashes(line: str, rng: random.Random) -> str | None:
    return re.sub(r'(?i)\b[a-z]:(?:\\[^\\\s"]+)+', lambda m: m[0].replace("\\", "/"), line)


def win_roots(line: str, rng: random.Random) -> str | None:
    root = rng.choice(("\\\\?\\C:\\", "\\\\.\\C:\\", "\\\\127.0.0.1\\C$\\", "\\\\localhost\\c$\\"))
    return re.sub(r"(?i)(?<![\\/?.\w])c:\\(?=\w)", lambda _: root, line)


def win_short_names(line: str, rng: random.Random) -> str | None:
    for name, short in (
        ("Program Files (x86)", "PROGRA~2"),
        ("Program Files", "PROGRA~1"),
        ("ProgramData", "PROGRA~3"),
    ):
        line = re.sub(re.escape(f"C:\\{name}\\"), lambda _, s=short: f"C:\\{s}\\", line, flags=re.IGNORECASE)
    return line


def tabs(line: str, rng: random.Random) -> str | None:
    return line.replace(" ", "\t" * rng.randint(1, 2)) if '"' not in line and "'" not in line else None


WINDOWS: dict[str, Way] = {
    "-f operator": ps_format, "character codes": ps_chars, "sum of characters": ps_char_sum, "hexadecimal": ps_hex,
    "reversed string": ps_reversed, "double base64": ps_double_base64, "deflate": ps_deflate, "replace": ps_marker,
    "pieces in variables": ps_pieces, "aliases": ps_aliases, "wildcard of gcm": ps_wildcard, "Unicode dash": ps_dashes,
    "curly quotes": ps_curly_quotes, "environment variable": ps_environment, "cmd: substring": cmd_substrings,
    "cmd: set and call": cmd_set_call, "cmd: caret at every letter": cmd_carets, "cmd: replace": cmd_marker,
    "cmd: for codes": cmd_for_codes, "cmd: reversed": cmd_reversed, "cmd: separators": cmd_separators,
    "cmd: for word": cmd_for_word, "cmd: echo into cmd": cmd_echo, "path with dots": win_path, "slashes": win_slashes,
    "root of the path": win_roots, "short names": win_short_names, "tabs": tabs,
}  # fmt: skip
