"""Lines whose one program takes sentences for people, so that a sentence in them is nothing odd."""

from __future__ import annotations

import re

__all__ = ["only_passes_a_message"]

_LONGEST = 20_000
_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"")
_CHAINED = re.compile(r"[;&|>\n\r]|<[<(]|\$\(|`")
#: `sh -c`, `cmd /c`, `powershell -Command` around the one command.
_WRAPPER = re.compile(
    r"(?is)^\s*\"?(?:[\w:/\\. ~-]{0,200}[/\\])?(?:(?:ba|z|da|k)?sh(?:\s+-l)?\s+-l?c|"
    r"cmd(?:\.exe)?\"?(?:\s+/[dsq])*\s+/[ck]|"
    r"(?:powershell|pwsh)(?:\.exe)?\"?(?:\s+-(?!c)\w+(?:\s+(?!-)\w+)?)*\s+-c(?:ommand)?)\s+(?P<inner>\S.*)$"
)
_PROGRAM = (
    r"(?:git(?:\.exe)?\s+(?:-C\s+\S+\s+)?(?:commit|tag|notes|stash|merge|log|config)|gh\s+(?:pr|issue|release)|hub|svn|hg|glab|jira|"
    r"echo|rem|printf|logger|wall|write|say|espeak|espeak-ng|cowsay|figlet|banner|notify-send|zenity|kdialog|dialog|whiptail|mail|mailx|"
    r"mutt|sendmail|slackcat|read|msg|shutdown|eventcreate|net\s+send|Write-(?:Host|Output|Warning|Verbose|Error|Information|EventLog)|"
    r"Send-MailMessage|New-BurntToastNotification|ollama|llm|aichat|sgpt|mods|claude|gemini|codex|aider|translate-shell|trans|"
    r"(?:e|f|rip)?grep|rg|ag|findstr|pytest|npm|npx|yarn|jest|mocha|rspec|phpunit|playwright|cypress|go\s+test|cargo\s+test|dotnet\s+test|"
    r"man|apropos|task|todo|jrnl|timew|kubectl\s+annotate)(?:\.exe)?"
)
_CARRIER = re.compile(rf"(?is)^\s*\"?(?:[\w:/\\.~-]{{0,200}}[/\\])?{_PROGRAM}\"?(?:\s|$)")
_PIPED = re.compile(r"(?is)\|\s*(?:wall|mail|mailx|write|cowsay|less|more|head|cat|jq|sort)\b[^|;&<>`$]*$")
#: A message to a chat, a tracker or a mail service as JSON, nothing read from a file and nothing kept.
_POST = re.compile(
    r"(?is)^\s*\"?(?:[\w:/\\.~-]{0,200}[/\\])?curl(?:\.exe)?\"?(?=\s)(?=.*\s(?:-d|--data|--data-raw|--json)\s)(?=.*\"(?:text|message|body|content|"
    r"title|comment|summary)\\?\"\s*:)(?!.*\s(?:-o|-O|--output|-T|-K|--config|-x|--proxy|-F)\b)(?!.*\s['\"]?@)"
)

#: A notification or a plain dialog of AppleScript; one that asks for something typed is another matter.
_DIALOG = re.compile(
    r"(?is)^\s*(?:/usr/bin/)?osascript\s+-e\s+['\"]?display (?:notification|dialog|alert) "
    r"(?!.*(?:do shell script|hidden answer|default answer))"
)


def only_passes_a_message(line: str) -> bool:
    """Whether the whole line is one command that carries text for people: a commit, an echo, a notification, a search.

    False as soon as anything is chained to it, substituted in it, or sent to a file: a line that also does something
    else gets no credit for its sentences.

    >>> only_passes_a_message('git commit -m "This is the first of our fixes"')
    True
    >>> only_passes_a_message('echo "this is the end" > /etc/motd; rm -rf /srv')
    False
    """
    if len(line) > _LONGEST:
        return False
    for _ in range(2):
        wrapped = _WRAPPER.match(line)
        if not wrapped:
            break
        line = wrapped["inner"].strip()
        if len(line) > 1 and line[0] == line[-1] and line[0] in "\"'":
            line = line[1:-1].replace('\\"', '"')
    if "$(" in line or "`" in line:
        return False
    bare = _PIPED.sub("", _QUOTED.sub("''", line))
    return not _CHAINED.search(bare) and bool(_CARRIER.match(line) or _POST.match(line) or _DIALOG.match(line))
