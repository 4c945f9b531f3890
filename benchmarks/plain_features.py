"""The hand-engineered features by a plain Python loop: the peer of benchmarks/features.py, and its second opinion.

What one would write with the standard library: Counter, re and the decoders, a line at a time. Checks are tried only
where one of their literals occurs in the line.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from cmdclf.lines.decode import KINDS, PLAIN, decode_line
from cmdclf.rules import RuleSet

META = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
META_RATIO = "\"'`^|&;%$+=/\\-.,{("
PLATFORMS = ("windows", "linux", "macos")
SPACE = b"\t\n\v\f\r "
TOKEN = re.compile(rb"[A-Za-z0-9_.\-\x80-\xff]+")
WORD = re.compile(rb"[^\t\n\v\f\r ]+")
BASE64, HEX = re.compile(rb"[A-Za-z0-9+/=]+"), re.compile(rb"[0-9a-fA-F]+")
RUNS = [
    BASE64, HEX, re.compile(rb"[0-9]+"), re.compile(rb"[A-Z]+"), re.compile(rb"[A-Za-z]+"),
    re.compile(rb"[!-/:-@\[-`{-~]+"),
]  # fmt: skip
SAME = re.compile(rb"(.)\1*", re.DOTALL)
CASE_SWITCH = re.compile(rb"(?=[a-z][A-Z]|[A-Z][a-z])")
ALNUM_SWITCH = re.compile(rb"(?=[A-Za-z][0-9]|[0-9][A-Za-z])")
DASH, DOUBLE_DASH = re.compile(rb"-[A-Za-z0-9]"), re.compile(rb"--[A-Za-z]")
SLASH, ASSIGNMENT = re.compile(rb"/[A-Za-z0-9?]"), re.compile(rb"[A-Za-z0-9]=")
URL, DRIVE = re.compile(rb"(?=://)"), re.compile(rb"(?<![A-Za-z0-9])[A-Za-z]:[\\/]")
IPV4 = re.compile(rb"(?<![0-9])(?<!\.)(?=((?:[0-9]{1,3}\.){3}[0-9]{1,3})(?![0-9]|\.[0-9]))")
SEPARATORS = re.compile(rb"[\\/]+")
DIGITS = re.compile(rb"[0-9]+")
SYMBOL = bytes.maketrans(
    bytes(range(256)),
    bytes(
        2
        if b > 127
        else 1
        if b in SPACE
        else 48
        if 48 <= b < 58
        else b | 32
        if 65 <= b < 91
        else b
        if 32 < b < 127
        else 0
        for b in range(256)
    ),
)
LOWER = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")
#: Columns of the innermost text that stand beside the line's own.
INNERMOST = (1, 3, 18, 95, 96, 107, 108, 116, 117)


def words_of(data: bytes) -> tuple[list[object], list[int], int]:
    """Tokens as they are counted, their lengths, and which one names the program."""
    tokens: list[object] = []
    lengths = []
    quote = data[:1] if data[:1] in (b'"', b"'") else b""
    program = -1
    in_program = True
    end = 0
    for match in TOKEN.finditer(data):
        text = match[0]
        if in_program and tokens:
            between = data[end : match.start()]
            in_program = quote not in between if quote else not any(b in SPACE for b in between)
        if in_program:
            program = len(tokens)
        size = len(text)
        every_hex = HEX.fullmatch(text) is not None
        if size > 64 or (every_hex and size >= 16):
            tokens.append((int(math.log2(size)), every_hex))
        else:
            tokens.append(DIGITS.sub(b"0", text.translate(LOWER)))
        lengths.append(size)
        end = match.end()
    return tokens, lengths, program


class PlainFeatures:
    """The same columns as FeatureMaker, with exact counts instead of hashed ones."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = [
            (re.compile(r.regex, 0 if r.case else re.IGNORECASE), r.literals, r.platform, r.category)
            for r in rules.rules
        ]
        self.categories = list(dict.fromkeys(r.category for r in rules.rules))
        self.tokens: Counter[object] = Counter()
        self.pairs: Counter[object] = Counter()
        self.symbols: Counter[tuple[int, int]] = Counter()

    def fit(self, lines: Sequence[str]) -> None:
        for line in lines:
            data = line.encode()
            tokens, _, _ = words_of(data)
            self.tokens.update(tokens)
            self.pairs.update(pairwise(tokens))
            self.symbols.update(pairwise(data.translate(SYMBOL)))
        self.prepare()

    def prepare(self) -> None:
        """What is looked up for each line, from the counts."""
        rows: Counter[int] = Counter()
        for (left, _), count in self.symbols.items():
            rows[left] += count
        self.rows = {left: math.log2(count + 32) for left, count in rows.items()}
        self.log_tokens = math.log(sum(self.tokens.values()) + max(1, len(self.tokens)))
        self.log_pairs = math.log(sum(self.pairs.values()) + max(1, len(self.pairs)))
        self.bits: dict[tuple[int, int], float] = {}

    def surprise(self, pair: tuple[int, int]) -> float:
        found = self.bits.get(pair)
        if found is None:
            found = self.bits[pair] = self.rows.get(pair[0], 5.0) - math.log2(self.symbols[pair] + 0.5)
        return found

    def row(self, line: str, platform: str | None) -> list[float]:
        """All columns of a line."""
        out = self.text(line)
        matched = self.matches(line, platform)
        decoded = decode_line(line, platform)
        layers = decoded.layers
        first = next((k for k, layer in enumerate(layers) if layer.kind not in PLAIN), None)
        hiding: set[str] = set()
        inside: set[int] = set()
        if first is not None:
            hiding = {layer.kind for layer in layers if layer.kind not in PLAIN}
            for layer in layers[first:]:
                inside |= self.matches(layer.text, platform)
        inside -= matched
        out += [float(k in matched or k in inside) for k in range(len(self.rules))]
        by_category = Counter(self.rules[k][3] for k in matched | inside)
        out += [by_category[name] for name in self.categories]
        out.append(len(matched | inside))
        out += [float(platform == name) for name in PLATFORMS]
        kinds = [kind for kind in KINDS if kind not in PLAIN]
        if not hiding:
            return out + [0.0] * (5 + len(INNERMOST) + len(kinds) + len(self.categories) + 1)
        inner = self.text(layers[-1].text)
        out += [
            sum(layer.kind not in PLAIN for layer in layers),
            len(hiding),
            decoded.depths[-1],
            0.0,
            inner[1] - out[1],
        ]
        out += [inner[k] for k in INNERMOST]
        out += [float(kind in hiding) for kind in kinds]
        by_category = Counter(self.rules[k][3] for k in inside)
        return [*out, *(by_category[name] for name in self.categories), len(inside)]

    def matches(self, line: str, platform: str | None) -> set[int]:
        """The numbers of the checks that match."""
        lower = line.lower()
        return {
            k
            for k, (pattern, literals, where, _) in enumerate(self.rules)
            if (not where or platform is None or platform in where)
            and any(literal in lower for literal in literals)
            and pattern.search(line)
        }

    def text(self, line: str) -> list[float]:
        """The columns of characters, words and rarity."""
        data = line.encode()
        size = len(data)
        if not size:
            return [0.0] * 118
        count = Counter(data)
        entropy = max(0.0, math.log2(size) - sum(c * math.log2(c) for c in count.values()) / size)
        upper = sum(c for b, c in count.items() if 65 <= b <= 90)
        lower = sum(c for b, c in count.items() if 97 <= b <= 122)
        digit = sum(c for b, c in count.items() if 48 <= b <= 57)
        space = sum(c for b, c in count.items() if b in SPACE)
        other = sum(c for b, c in count.items() if b > 127)
        control = sum(c for b, c in count.items() if (b < 32 or b == 127) and b not in SPACE)
        hexadecimal = sum(c for b, c in count.items() if chr(b) in "0123456789abcdefABCDEF")
        classes = [upper, lower, digit, space, size - upper - lower - digit - space - other - control]
        classes += [other, control, hexadecimal]
        case = len(CASE_SWITCH.findall(data))
        alnum = len(ALNUM_SWITCH.findall(data))
        vowels = sum(count[b] for b in b"aeiouAEIOU")
        out = [size, math.log1p(size), len(line), entropy]
        out.append(min(1.0, entropy / math.log2(min(size, 256))) if size > 1 else 0.0)
        out.append(len(count))
        out += classes
        out += [c / size for c in classes]
        out += [case, case / size, alnum, alnum / size, vowels / (upper + lower) if upper + lower else 0.0]
        out += [count[ord(c)] for c in META]
        out += [count[ord(c)] / size for c in META_RATIO]
        out += self.runs(data, size)
        return out + self.rarity(data, size)

    def runs(self, data: bytes, size: int) -> list[float]:
        out: list[float] = [max(map(len, pattern.findall(data)), default=0) for pattern in RUNS]
        words = WORD.findall(data)
        long_base64 = [len(run) for run in BASE64.findall(data) if len(run) >= 40]
        out += [max(len(run[0]) for run in SAME.finditer(data)), max(map(len, words), default=0)]
        out += [len(long_base64), sum(long_base64) / size, sum(len(run) >= 32 for run in HEX.findall(data))]
        separators = [len(SEPARATORS.findall(word)) for word in words]
        double = [bool(DOUBLE_DASH.match(word)) for word in words]
        out += [len(words), sum(map(len, words)) / len(words) if words else 0.0, len(words[0]) if words else 0]
        out += [sum(bool(DASH.match(word)) for word in words), sum(double)]
        out.append(sum(n == 1 and bool(SLASH.match(word)) for word, n in zip(words, separators, strict=True)))
        out += [sum(bool(ASSIGNMENT.search(word)) for word in words), len(URL.findall(data))]
        out.append(sum(all(int(n) < 256 for n in found.split(b".")) for found in IPV4.findall(data)))
        out += [len(DRIVE.findall(data)), sum(word[:2] in (b"\\\\", b"//") for word in words)]
        out += [max(separators, default=0), sum(n > 1 for n in separators)]
        depth = deepest = 0
        for byte in data:
            if byte in b"([{":
                depth += 1
                deepest = max(deepest, depth)
            elif byte in b")]}":
                depth = max(0, depth - 1)
        return [*out, deepest, data.count(b"'") % 2, data.count(b'"') % 2]

    def rarity(self, data: bytes, size: int) -> list[float]:
        tokens, lengths, program = words_of(data)
        out = [0.0] * 14
        if tokens:
            counts = [self.tokens[token] for token in tokens]
            rarities = [max(0.0, self.log_tokens - math.log(c + 1)) for c in counts]
            top = sorted(rarities, reverse=True)[:3]
            out[:3] = [len(tokens), sum(lengths) / len(tokens), max(lengths)]
            out[3:7] = [sum(rarities) / len(tokens), top[0], sum(top) / len(top), min(rarities)]
            out[7:9] = [rarities[program] if program >= 0 else 0.0, counts.count(0) / len(tokens)]
        if len(tokens) > 1:
            counts = [self.pairs[pair] for pair in pairwise(tokens)]
            rarities = [max(0.0, self.log_pairs - math.log(c + 1)) for c in counts]
            out[9:12] = [sum(rarities) / len(counts), max(rarities), counts.count(0) / len(counts)]
        if size > 1:
            bits = [self.surprise(pair) for pair in pairwise(data.translate(SYMBOL))]
            window = largest = sum(bits[:16])
            for k in range(16, len(bits)):
                window += bits[k] - bits[k - 16]
                largest = max(largest, window)
            out[12:] = [sum(bits) / len(bits), largest / min(len(bits), 16)]
        return out
