"""What stands in a secret's place and is none: references, masks, paths, code, words."""

from __future__ import annotations

import re

__all__ = ["is_no_secret"]

# References name a secret: $PASS, ${PASS}, $(cat f), %PASS%, {{ pass }}, #{pass}, @file, env:PASS, op://x, os.environ.
_REFERENCE = re.compile(
    r"\\?\$[A-Za-z_{(:?@*!0-9]|`|%~?\d|%%?\w[^%\s]{0,64}%?$|%[^%\s]{1,64}%|![A-Za-z_]\w{0,63}!|\{\{|#\{|\$\{\{"
    r"|@[\w./\\~:-]+$|<[^<>]{0,80}>$"
    r"|(?i:env|file|fd|stdin|prompt|ask|vault|ssm|arn|kms|secret|keyring|cmd|id|from|keyvault|configmap)[:=]|projects/"
    r"|op://|os\.(?:environ|getenv)|process\.env|ENV\[|(?:args|self|settings|config|req|opts)\.\w|getenv\("
    r"|(?i:(?:your|my|the|some|enter|insert|change)[_-]?(?:\w{0,20}[_-])?(?:password|token|secret|key|here)\w{0,8}$)"
)
# Regular expressions, code and words that stand for a value: .*, [^&]+, PASSWORD, ^PASS^, [guid]::NewGuid, true}.
_PATTERN = re.compile(
    r"\.[*+]|\[\^|\(\?|\\[wSsd]|[A-Z_]{0,20}(?:PASSWORD|PASSWD|PASS|PWD|TOKEN|SECRET|KEY|HASH|FILE\d|FUZ\d?Z)$"
    r"|[A-Z]{2,20}(?:_[A-Z]{1,20}){1,4}$|[A-Za-z]:$|\^[A-Z]{2,20}\^|\[[\w.]{1,60}\]::|\{\}$|S-1-5-|=|/\W?$"
    r"|(?:true|false|null|none)\W"
)
_MASK = re.compile(r"(?i:x+|[!*]+|\.+|#+|_+|•+|<\w+>)$")
_CMDLET = re.compile(
    r"(?:[A-Z][a-z]{1,20}-[A-Z][A-Za-z]{1,40}|(?i:(?:convertto|convertfrom|get|read|new)-[a-z]{2,40}))$"
)
_PATH = re.compile(
    r"(?:~|\.{1,2})[/\\]|[A-Za-z]:[\\/]|\\\\|/(?:etc|home|run|var|opt|usr|tmp|root|mnt|dev|srv|app|data|secrets?|proc"
    r"|Users|Library|private|Volumes|vault|keys?|certs?|config|workspace|sys|boot|builds?|System|Applications)(?:/|$)"
)
_LOWER_PATH = re.compile(r"[a-z]+(?:/[a-z_-]+)+$")
# Lists of passwords and other files that stand where a password may; what may hold a key or token itself is not here.
_LIST = re.compile(
    r"[\w./\\~:-]{1,200}\.(?:txt|lst|list|dic|csv|keychain|keychain-db|creds|7z|zip|rar|t?gz|log|xml|json|exe|dll|ps1"
    r"|kdbx|config)$"
)
_FILE = re.compile(
    r"[\w./\\~${}%:-]{1,200}\.(?:pem|key|ppk|p12|pfx|jks|crt|cer|txt|json|ya?ml|env|conf|ini|pub|gpg|asc|pass|secret"
    r"|py|sh)$"
)
_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_LETTER, _LOWER, _UPPER = re.compile("[A-Za-z]"), re.compile("[a-z]"), re.compile("[A-Z]")
_DIGIT, _SPECIAL = re.compile(r"\d"), re.compile(r"[!@#$%^+~]")
_ADDRESS = re.compile(r"[a-z.]+@[a-z.]+$")
_NUMBER = re.compile(r"[\d.,:/-]*$")
_WORD = re.compile(
    r"[a-z]{1,32}$|[A-Z]{1,32}$|[A-Z][a-z]{1,31}$|[a-z]+(?:[-_.:][a-z]+)*[-_.]?(?:v?\d{1,4}(?:[.-]\d{1,6})*)?$"
)


def is_no_secret(value: str, kind: str, checks: frozenset[str], before: str, words: frozenset[str]) -> bool:
    """Whether the value is none.

    Args:
        value: what stands in the place; not empty.
        kind: of the secret.
        checks: of the table's entry, see data/secrets.toml.
        before: the character before the value.
        words: values in lower case that are none.
    """
    if "part" in checks:
        return False
    if value.lower() in words or _stands_for(value):
        return True
    # In single quotes a dollar is a dollar, unless the line around is in double quotes: passwords, not tokens.
    literal = before == "'" and value[0] == "$" and value[1:2] not in "({" and kind != "token"
    if kind != "hash" and not literal and _REFERENCE.match(value):
        return True
    if (kind == "key" and _LOWER_PATH.match(value)) or (kind in ("key", "token") and _FILE.match(value)):
        return True
    return _is_too_little(value, checks, before)


def _stands_for(value: str) -> bool:
    """Whether the value is a mask, a cmdlet, a path, a pattern or a file."""
    if value[0].isspace():
        return True
    return any(form.match(value) for form in (_MASK, _CMDLET, _PATH, _PATTERN, _LIST))


def _is_too_little(value: str, checks: frozenset[str], before: str) -> bool:
    """Whether the entry asks for more than the value shows."""
    if "flag" in checks:
        if len(value) < 2 or (len(value) < 4 and value.isdigit()):
            return True
        if value[0] in "-/" and before not in ('"', "'"):
            return True
    if "long" in checks and (len(value) < 4 or (len(value) < 8 and value.isdigit())):
        return True
    if "likely" in checks:
        return not (_is_strong(value.replace(" ", "")) and _is_likely(value))
    asked = checks & {"strong", "mixed", "special", "random"}
    if asked and not _is_strong(value):
        return True
    if asked & {"mixed", "special"} and not _is_mixed(value):
        return True
    if "special" in asked and ("{" in value or not _SPECIAL.search(value)):
        return True
    return "random" in asked and bool(_GUID.match(value) or value.isdigit())


def _is_strong(value: str) -> bool:
    """Whether a value looks like a secret where its place alone does not say so."""
    if len(value) < 6 or "://" in value or " " in value or value.count("/") > 1:
        return False
    return not any(form.match(value) for form in (_WORD, _ADDRESS, _NUMBER, _FILE))


def _is_mixed(value: str) -> bool:
    return bool(_LETTER.search(value) and (_DIGIT.search(value) or _SPECIAL.search(value)))


def _is_likely(value: str) -> bool:
    """Letters of both cases, or not letters alone; no prompt."""
    cases = _LOWER.search(value) and _UPPER.search(value)
    return "assword" not in value and bool(cases or _is_mixed(value) or _SPECIAL.search(value))
