"""The columns that the kernels fill, in their order, and what each means."""

from __future__ import annotations

__all__ = ["COLUMNS", "METACHARACTERS", "RATIO_METACHARACTERS", "REFERENCES", "SLOTS", "SOURCES"]

#: All ASCII punctuation, with names fit for columns.
METACHARACTERS = {
    "!": "exclamation",
    '"': "double_quote",
    "#": "hash",
    "$": "dollar",
    "%": "percent",
    "&": "ampersand",
    "'": "single_quote",
    "(": "paren_open",
    ")": "paren_close",
    "*": "asterisk",
    "+": "plus",
    ",": "comma",
    "-": "dash",
    ".": "dot",
    "/": "slash",
    ":": "colon",
    ";": "semicolon",
    "<": "less",
    "=": "equals",
    ">": "greater",
    "?": "question",
    "@": "at",
    "[": "bracket_open",
    "\\": "backslash",
    "]": "bracket_close",
    "^": "caret",
    "_": "underscore",
    "`": "backtick",
    "{": "brace_open",
    "|": "pipe",
    "}": "brace_close",
    "~": "tilde",
}
#: Those whose share of the line says something beyond their number: quoting, escaping, joining, paths, flags.
RATIO_METACHARACTERS = "\"'`^|&;%$+=/\\-.,{("

_CLASSES = {
    "upper": "upper-case ASCII letters",
    "lower": "lower-case ASCII letters",
    "digit": "digits",
    "space": "spaces, tabs and line ends",
    "punct": "ASCII punctuation",
    "nonascii": "bytes outside ASCII",
    "control": "control characters other than white space",
    "hex": "hexadecimal digits",
}

_SHAPE = [
    ("length_bytes", "length of the line in UTF-8 bytes"),
    ("length_log", "natural logarithm of 1 + length_bytes"),
    ("length_chars", "length in code points"),
    ("entropy", "Shannon entropy of the bytes, in bits"),
    ("entropy_share", "entropy over its largest possible value for that length, 0..1"),
    ("distinct_bytes", "number of different byte values"),
]
_SWITCHES = [
    ("case_switches", "neighbouring letters of different case"),
    ("case_switch_ratio", "case_switches over length_bytes"),
    ("alnum_switches", "a letter beside a digit"),
    ("alnum_switch_ratio", "alnum_switches over length_bytes"),
    ("vowel_ratio", "vowels over letters"),
]
_RUNS = [
    ("run_base64", "longest run of the base64 alphabet, in bytes"),
    ("run_hex", "longest run of hexadecimal digits"),
    ("run_digit", "longest run of digits"),
    ("run_upper", "longest run of upper-case letters"),
    ("run_letter", "longest run of letters"),
    ("run_punct", "longest run of punctuation"),
    ("run_same", "longest run of one byte"),
    ("run_nospace", "longest run without white space (the longest word)"),
    ("n_base64_long", "runs of the base64 alphabet of at least 40 bytes"),
    ("share_base64_long", "share of the line in such runs"),
    ("n_hex_long", "runs of hexadecimal digits of at least 32 bytes"),
]
_WORDS = [
    ("n_words", "words between white space"),
    ("word_mean", "mean length of words, in bytes"),
    ("first_word", "length of the first word"),
    ("n_flags_dash", "words like -x or -name"),
    ("n_flags_double_dash", "words like --name"),
    ("n_flags_slash", "words like /x with one separator"),
    ("n_assignments", "words with = after a letter or digit"),
    ("n_urls", "occurrences of ://"),
    ("n_ipv4", "four numbers up to 255 joined by dots"),
    ("n_drives", "drive letters (C:\\ or C:/)"),
    ("n_unc", "words that begin with two backslashes or slashes"),
    ("path_depth_max", "most path separators in one word"),
    ("n_path_words", "words with at least two path separators"),
    ("bracket_depth", "deepest nesting of (), [] and {}"),
    ("odd_single_quotes", "1 where single quotes don't pair up"),
    ("odd_double_quotes", "1 where double quotes don't pair up"),
]
_TOKENS = [
    ("n_tokens", "tokens: runs of letters, digits, _ . - and non-ASCII"),
    ("token_mean", "mean length of tokens, in bytes"),
    ("token_max", "length of the longest token"),
    ("rarity_mean", "mean of -log((c+1)/(N+V)) over tokens, c being a token's count among those fitted"),
    ("rarity_max", "rarity of the rarest token"),
    ("rarity_top3", "mean rarity of the three rarest tokens"),
    ("rarity_min", "rarity of the commonest token"),
    ("rarity_first", "rarity of the program's name"),
    ("unseen_share", "share of tokens that were never fitted"),
    ("pair_rarity_mean", "mean rarity of neighbouring tokens taken together"),
    ("pair_rarity_max", "rarity of the rarest pair"),
    ("pair_unseen_share", "share of pairs that were never fitted"),
    ("surprise_mean", "mean bits of a character given the one before it, by the fitted lines"),
    ("surprise_max16", "the same over the 16 neighbouring characters where it is largest"),
]

_GROUPS = {
    "shape": _SHAPE,
    "counts": [(f"n_{name}", f"number of {meaning}") for name, meaning in _CLASSES.items()],
    "ratios": [(f"ratio_{name}", f"share of {meaning}") for name, meaning in _CLASSES.items()],
    "switches": _SWITCHES,
    "meta": [(f"n_{name}", f"number of {char}") for char, name in METACHARACTERS.items()],
    "meta_ratios": [
        (f"ratio_{METACHARACTERS[char]}", f"share of the line that is {char}") for char in RATIO_METACHARACTERS
    ],
    "runs": _RUNS,
    "words": _WORDS,
    "tokens": _TOKENS,
}

#: (name, meaning) of each column of the kernels.
COLUMNS: list[tuple[str, str]] = [column for group in _GROUPS.values() for column in group]

#: First column of each group; the kernels' constants.
SLOTS: dict[str, int] = {}
for _group in _GROUPS:
    SLOTS[_group] = sum(len(_GROUPS[earlier]) for earlier in SLOTS)

_CHARACTERS = ("counts", "ratios", "switches", "meta", "meta_ratios")
_BOHANNON, _SHANNON, _BIGRAMS = "Bohannon and Holmes 2017", "Shannon 1948", "Shannon 1951"
#: What the sources' short names stand for.
REFERENCES = {
    _BOHANNON: "D. Bohannon and L. Holmes, Revoke-Obfuscation: PowerShell Obfuscation Detection Using Science,"
    " Black Hat USA 2017 (shares of characters, casing and entropy as marks of obfuscation)",
    _SHANNON: "C. E. Shannon, A Mathematical Theory of Communication, Bell System Technical Journal 27, 1948"
    " (entropy; the information of an event as the negative logarithm of its chance)",
    _BIGRAMS: "C. E. Shannon, Prediction and Entropy of Printed English, Bell System Technical Journal 30, 1951"
    " (information of a character given those before it)",
}
_FROM_OTHERS = {
    **{name: _SHANNON for name, _ in _TOKENS if "rarity" in name},
    **{name: _BIGRAMS for name, _ in _TOKENS if name.startswith("surprise")},
    **{name: _SHANNON for name in ("entropy", "entropy_share")},
    **{name: _BOHANNON for group in _CHARACTERS for name, _ in _GROUPS[group]},
}
#: Where the idea of each column comes from.
SOURCES: dict[str, str] = {name: _FROM_OTHERS.get(name, "ours") for name, _ in COLUMNS}
