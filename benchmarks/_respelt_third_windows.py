"""The third set's ways for Windows: see `_respelt_third`.

They are those of Invoke-Obfuscation, DOSfuscation, ArgFuscator and LOLBAS beyond the first two sets. None was run; that
certutil and reg take the odd characters is known from ArgFuscator's models of Windows 11.
"""

from __future__ import annotations

import base64
import random
import re

from _respelt_windows import _CMD, _CMDLET, _DELAYED, _PLAIN, _WORD, Way, _batch, _ps, _quoted, _script, pieces_of

from cmdclf.lexicon.wrappers import peel

__all__ = ["THIRD_WINDOWS", "address_number"]

_INTERNAL = re.compile(
    r"(?i)(?:assoc|call|cd|copy|date|del|dir|echo|erase|exit|for|ftype|goto|if|md|mkdir|mklink|move|path|popd|prompt"
    r"|pushd|rd|rem|ren|rename|rmdir|set|start|time|title|type|ver|vol)(?![\w-])"
)
#: These read their command line themselves, where others have their quotes taken off by the C library.
_RAW = re.compile(r"(?i)(?:\S*\\)?(?:cmd|explorer|msiexec|mshta|regsvr32|rundll32|wmic)(?:\.exe)?(?: |$)")
#: What may stand before an option in a slash's or a hyphen's place, by ArgFuscator's models.
_DASHES = {"certutil": "/–—−", "reg": "-﹣", "regsvr32": "-", "schtasks": "-", "taskkill": "-", "wevtutil": "-"}
_SMALL = str.maketrans("abcdefghklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")
#: Where a program resolves it: in a URL, behind a user, or as the first word of these.
_ADDRESS = re.compile(
    r"(?:(?<=//)|(?<=@)|(?<=\bping )|(?<=\bssh )|(?<=\bnc )|(?<=\btelnet ))"
    r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\w.])"
)


def address_number(line: str, rng: random.Random) -> str | None:
    """An IP address as inet_aton also takes it."""

    def spelt(found: re.Match[str]) -> str:
        a, b, c, d = (int(part) for part in found.groups())
        whole = ((a * 256 + b) * 256 + c) * 256 + d
        forms = (f"{whole}", f"0x{whole:08x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a}.{whole % (1 << 24)}")
        return rng.choice(forms) if max(a, b, c, d) < 256 else found[0]

    return _ADDRESS.sub(spelt, line)


# PowerShell


def _windows_ps(script: str, rng: random.Random) -> str:
    """With Windows PowerShell: the later one has no WMI, and other letters in the variables used here."""
    return _ps(script, rng).replace("pwsh ", "powershell ", 1)


def _within(*ways: str) -> Way:
    """The whole script, in one of its forms, in one of the ways."""

    def respelt(line: str, rng: random.Random) -> str | None:
        script, key = _script(line), rng.randrange(1, 32)
        if not script or len(script) < 8 or not script.isascii():
            return None
        code, pieces = script.encode(), [_quoted(piece) for piece in pieces_of(script, rng, rng.randint(4, 7))]
        order = rng.sample(range(len(pieces)), len(pieces))
        places = "".join(f"{{{order.index(i)}}}" for i in range(len(pieces)))
        way = rng.choice(ways).format(
            script=script, q=_quoted(script), back=_quoted(script[::-1]), plus="+".join(pieces), key=key,
            format=f"('{places}'-f{','.join(pieces[i] for i in order)})", b64=base64.b64encode(code).decode(),
            bytes=",".join(f"0x{x:x}" for x in code), xored=",".join(str(x ^ key) for x in code),
            a=pieces[0], b=pieces[1], c="+".join(pieces[2:]), octal="o".join(f"{x:o}" for x in code),
            binary="z".join(f"{x:b}" for x in code),
        )  # fmt: skip
        return _windows_ps(way, rng)

    return respelt


def ps_ticks(line: str, rng: random.Random) -> str | None:
    """Ticks in the cmdlets' names, comments for blanks."""
    script = _script(line)
    if not script or not (_CMDLET.fullmatch(script) or _PLAIN.fullmatch(script)) or re.search("['\"`]", script):
        return None
    head, *rest = script.split(" ")
    ticked = re.sub(r"(?<=\w)(?=[c-dg-mo-qsw-zA-Z])(?![abefnrtuv])", lambda _: "`" if rng.random() < 0.4 else "", head)
    blanks = (" ", " ", f" <#{rng.choice(('x', ' ok ', 'v1.2', ''))}#> ", "  ")
    return _windows_ps("".join([ticked, *(rng.choice(blanks) + word for word in rest)]), rng)


def ps_splat(line: str, rng: random.Random) -> str | None:
    script, name = _script(line), rng.choice(("p", "z1", "kk"))
    head, _, rest = (script or "").partition(" ")
    if not rest or re.search("['\",`]", rest):
        return None
    named = re.findall(r"-(\w+)(?: ((?!-)\S+))?(?: |$)", rest)
    if _CMDLET.fullmatch(script) and rest == " ".join(f"-{a} {b}" if b else f"-{a}" for a, b in named):
        given = ";".join(f"{a}={_quoted(b) if b else '$true'}" for a, b in named)
        return _windows_ps(f"${name}=@{{{given}}};{head} @{name}", rng)
    if not _PLAIN.fullmatch(script) or (peel(line) and " -" in script):
        return None  # A cmdlet takes no named arguments from an array.
    return _windows_ps(f"${name}={','.join(map(_quoted, rest.split(' ')))};&{_quoted(head)} @{name}", rng)


def ps_replacing(line: str, rng: random.Random) -> str | None:
    """Letters given as marks, which a chain of replacements turns back."""
    script = _script(line)
    letters = sorted(set(re.findall("[a-z]", script or "")))
    if not script or len(letters) < 3:
        return None
    text, undone = script, ""
    for letter in rng.sample(letters, 3):
        mark = "".join(rng.sample("QXZWVKYJ", 3))
        if mark in text or text.replace(letter, mark).replace(mark, letter) != text:
            return None
        text = text.replace(letter, mark)
        undo = (f"-creplace'{mark}','{letter}'", f"-creplace('{mark[0]}'+'{mark[1:]}'),[string][char]{ord(letter)}")
        undone = rng.choice(undo) + undone
    return _windows_ps(
        rng.choice(("iex({}{})", "({}{})|iex", "&(gcm *ke-e*n)({}{})")).format(_quoted(text), undone), rng
    )


def ps_process(line: str, rng: random.Random) -> str | None:
    head, _, rest = line.partition(" ")
    ways = (
        "[Diagnostics.Process]::Start('{0}','{1}')", "saps {0} '{1}' -WindowStyle Hidden",
        "([wmiclass]'Win32_Process').Create('{0} {1}')",
        "(New-Object -ComObject WScript.Shell).Run('{0} {1}',0)", "iwmi Win32_Process Create -ArgumentList '{0} {1}'",
        "(New-Object -c Shell.Application).ShellExecute('{0}','{1}','','open',0)",
    )  # fmt: skip
    plain = peel(line) is None and rest and not re.search("['&|<>^]|^\"", line) and not _CMDLET.fullmatch(line)
    return _windows_ps(rng.choice(ways).format(head, rest), rng) if plain and not _INTERNAL.match(line) else None


def ps_slashes(line: str, rng: random.Random) -> str | None:
    script = _script(line)
    encoded = base64.b64encode((script or "").encode("utf-16-le", "replace")).decode()
    ways = ("powershell /nop /w hidden /ec {1}", "powershell.exe /noni /enco {1}", 'powershell /ep bypass /c "{0}"')
    return script and rng.choice(ways).format(script.replace('"', '\\"'), encoded)


# cmd


def _starting(*ways: str) -> Way:
    """The whole text in one of the ways; those that begin with a bar go to cmd, the others start a program."""

    def respelt(line: str, rng: random.Random) -> str | None:
        text, way = _batch(line) or "", rng.choice(ways)
        text = f"cmd /c {text}" if _INTERNAL.match(text) and way[0] != "|" else text
        cuts = [found.start() for found in re.finditer(r"(?<=\w)(?=\w)", text)]
        if not cuts:
            return None
        cut, (head, _, rest) = rng.choice(cuts), text.partition(" ")
        carets = re.sub(r"\B(?=\w)", lambda _: rng.choice(("", "", "^", "^^", "^^^")), text)
        filled = way.format(
            text=text, head=head, rest=rest, carets=carets, a=text[:cut], b=text[cut:], js=text.replace("\\", "\\\\"),
            chars="&".join(f"Chr({ord(c)})" for c in text), x=rng.choice(("a", "tmp1", "~x", "upd")),
        )  # fmt: skip
        return rng.choice(_CMD[1:]).format(filled[1:]) if way[0] == "|" else filled.removesuffix(" -c ")

    return respelt


def cmd_tokens(line: str, rng: random.Random) -> str | None:
    text, mark = _batch(line), rng.choice("#@~$+")
    if not text or len(text) < 8 or mark in text:
        return None
    pieces = pieces_of(text, rng, rng.randint(2, 4))
    names = "".join(f"%{name}" for name in "abcd"[: len(pieces)])
    given = f'"tokens=1-{len(pieces)} delims={mark}" %a in ("{mark.join(pieces)}")'
    return rng.choice(_CMD).format(f"for /f {given} do @{names}")


def cmd_replacing(line: str, rng: random.Random) -> str | None:
    """Letters given as marks, turned back one after another."""
    text, (mark, other) = _batch(line), rng.sample("#@$+[]_", 2)
    letters = sorted(set(re.findall("[a-z]", text or "")))
    if not text or len(letters) < 2 or mark in text or other in text:
        return None
    one, two = rng.sample(letters, 2)
    given = f"set a={text.replace(one, mark).replace(two, other)}&&set b=!a:{mark}={one}!&&"
    return rng.choice(_DELAYED).format(given + rng.choice(("", "call ", "cmd /c ")) + f"!b:{other}={two}!")


def cmd_quotes(line: str, rng: random.Random) -> str | None:
    """Quotes in the middle of words."""
    text = _batch(line)
    if not text or _INTERNAL.match(text):
        return None

    def spelt(found: re.Match[str]) -> str:
        at, word = rng.randrange(1, len(found[0]) - 1), found[0]
        return word[:at] + rng.choice((f'"{word[at]}"', f'""{word[at]}', f'^{word[at]}""')) + word[at + 1 :]

    return rng.choice(_CMD).format(_WORD.sub(spelt, text, count=1 if _RAW.match(text) else 0))


def cmd_empty(line: str, rng: random.Random) -> str | None:
    """Expansions that leave nothing."""
    text = _batch(line)
    empty = ("%OS:~0,0%", "%COMSPEC:~0,0%", "%OS:Windows_NT=%", "%PUBLIC:~90%")
    return text and rng.choice(_CMD).format(_WORD.sub(lambda m: m[0][:2] + rng.choice(empty) + m[0][2:], text))


def win_option_marks(line: str, rng: random.Random) -> str | None:
    found = re.match(r"(?i)(?:\S*\\)?(\w+)(?:\.exe)? ", line)
    marks = _DASHES.get(found[1].lower()) if found else None
    return marks and re.sub(r"(?<= )[-/](?=[A-Za-z]+(?:[ :]|$))", lambda _: rng.choice(marks), line)


def win_small_letters(line: str, rng: random.Random) -> str | None:
    """Superscript letters, which certutil and reg fold, and invisible ones, which they pass over."""
    if not re.match(r"(?i)(?:\S*\\)?(?:certutil|reg)(?:\.exe)? ", line):
        return None

    def spelt(found: re.Match[str]) -> str:
        at, word = rng.randrange(1, len(found[0])), found[0]
        return word[:at] + rng.choice((word[at].lower().translate(_SMALL), "\u200d" + word[at])) + word[at + 1 :]

    return re.sub(r"(?i)(?<= [-/])[a-z]{2,}(?= |$)|(?<=reg )[a-z]+|(?<=reg\.exe )[a-z]+", spelt, line)


THIRD_WINDOWS: dict[str, Way] = {
    "-bxor": _within(
        "iex(-join(({xored})|%{{[char]($_-bxor {key})}}))",
        "-join('{xored}'-split','|%{{[char]([int]$_-bxor 0x{key:x})}})|iex",
    ),
    "octal and binary": _within(
        "-join('{octal}'-split'o'|%{{[char][convert]::ToInt32($_,8)}})|iex",
        "iex(-join('{binary}'-split'z'|%{{[char][Convert]::ToInt16($_,2)}}))",
    ),
    "bytes": _within(
        "iex([Text.Encoding]::UTF8.GetString([byte[]]({bytes})))",
        "[Text.Encoding]::ASCII.GetString([Convert]::FromBase64String('{b64}'))|iex",
        "$b=[System.Convert]::FromBase64String('{b64}');iex([System.Text.Encoding]::UTF8.GetString($b))",
    ),
    "hidden iex": _within(
        "({plus})|.($pshome[4]+$pshome[30]+'x')", "&($env:comspec[4,24,25]-join'')({plus})",
        "({plus})|&((gv '*mdr*').Name[3,11,2]-join'')", ".($ShellId[1]+$ShellId[13]+'x')({plus})",
        "({plus})|.($VerbosePreference.ToString()[1,3]+'x'-join'')",
    ),
    "blocks": _within(
        "&{{.{{{script}}}}}", "({{&{{{script}}}}}).Invoke()", "if(1){{1|%{{{script}}}}}", "icm {{.{{{script}}}}}",
        "try{{throw 1}}catch{{{script}}}",
    ),
    "here-string": _within("iex @'\n{script}\n'@", "$s=@'\n{script}\n'@\n$s|iex"),
    "RightToLeft": _within(
        "-join([regex]::Matches({back},'.','RightToLeft')|%{{$_.Value}})|iex",
        "iex(([regex]::Matches({back},'.','RightToLeft')|%{{$_.Value}})-join'')",
    ),
    "-f of the whole": _within("iex {format}", "{format}|&(gcm *ke-e*n)"),
    "SecureString": _within(
        "iex([Net.NetworkCredential]::new('',(ConvertTo-SecureString ({plus}) -AsPlainText -Force)).Password)",
        "$m=[Runtime.InteropServices.Marshal];$s=ConvertTo-SecureString ({plus}) -As -Fo;"
        "iex($m::PtrToStringAuto($m::SecureStringToBSTR($s)))",
    ),
    "Set-Variable": _within(
        "sv x {a};sv y {b};si variable:z ({c});iex((gv x -va)+(gi variable:y).Value+${{z}})",
        "Set-Variable q1 ({a}+{b});New-Variable q2 ({c});(ls variable:q?).Value-join''|iex",
    ),
    "alias": _within(
        "sal q iex;q {q}", "nal zz Invoke-Expression;{q}|zz", "si alias:k iex;k({plus})",
        "function q{{iex $args[0]}};q {q}",
    ),
    "ticks and comments": ps_ticks, "splatting": ps_splat, "chain of -replace": ps_replacing,
    "new process": ps_process, "slashes for options": ps_slashes,
    "cmd: launchers": _starting(
        "conhost.exe --headless {text}", "pcalua.exe -a {head} -c {rest}",
        "rundll32.exe shell32.dll,ShellExec_RunDLL {text}", 'wmic process call create "{text}"',
        "ScriptRunner.exe -appvscript {text}", 'ssh.exe -o ProxyCommand="{text}" .', '|start "" /min /b {text}',
    ),
    "cmd: mshta": _starting(
        'mshta vbscript:Execute("CreateObject(""WScript.Shell"").Run {chars},0:close")',
        'mshta.exe vbscript:CreateObject("WScript.Shell").Run("{text}",0)(window.close)',
        'rundll32.exe javascript:"\\..\\mshtml,RunHTMLApplication ";'
        'new%20ActiveXObject("WScript.Shell").Run("{js}",0);window.close()',
    ),
    "cmd: batch file": _starting(
        '|<nul set /p "=@{a}">%TEMP%\\{x}.cmd&(echo {b})>>%TEMP%\\{x}.cmd&call %TEMP%\\{x}.cmd',
        "|>%TEMP%\\{x}.bat echo @{text}&%TEMP%\\{x}.bat",
    ),
    "cmd: name of cmd": _starting(
        "|for /f \"delims=.=f tokens=2\" %a in ('assoc .cmd') do %a /c {text}",
        "|for /f \"delims=\\ tokens=4\" %a in ('set^|findstr /b ComS') do @%a /q /c {text}",
    ),
    "cmd: nested carets": _starting("|%COMSPEC% /q /c {carets}", "|cmd /d /c {carets}"),
    "cmd: no-ops": _starting(
        "|cd.&@{text}&rem {x}", "|ver>nul&({text})", "|set {x}=1&&call call {text}", "|@(({text})&&cd.)"
    ),
    "cmd: tokens": cmd_tokens, "cmd: letters replaced": cmd_replacing, "cmd: quotes in words": cmd_quotes,
    "cmd: empty expansions": cmd_empty, "marks of options": win_option_marks, "small letters": win_small_letters,
    "address as a number": address_number,
}  # fmt: skip
