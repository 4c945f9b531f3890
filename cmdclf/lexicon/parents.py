"""Parent processes that fit where a template names none: by platform, and by whether a person is at work."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.telemetry import PLATFORMS

__all__ = ["PARENTS", "with_parents"]

#: (platform, a person started it) -> command line and program of what starts processes there; likely ones first.
PARENTS: dict[tuple[str, bool], tuple[tuple[str, str], ...]] = {
    ("windows", True): (
        ("C:\\Windows\\Explorer.EXE", "C:\\Windows\\explorer.exe"),
        ('"C:\\Windows\\system32\\cmd.exe" ', "C:\\Windows\\System32\\cmd.exe"),
        (
            '"C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe" ',
            "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe",
        ),
        ("C:\\Windows\\system32\\userinit.exe", "C:\\Windows\\System32\\userinit.exe"),
    ),
    ("windows", False): (
        ("C:\\Windows\\system32\\svchost.exe -k netsvcs -p -s Schedule", "C:\\Windows\\System32\\svchost.exe"),
        ("C:\\Windows\\system32\\services.exe", "C:\\Windows\\System32\\services.exe"),
        ("C:\\Windows\\system32\\svchost.exe -k DcomLaunch -p", "C:\\Windows\\System32\\svchost.exe"),
        ("C:\\Windows\\system32\\cmd.exe /c maintenance.cmd", "C:\\Windows\\System32\\cmd.exe"),
    ),
    ("linux", True): (
        ("-bash", "/usr/bin/bash"),
        ("bash", "/usr/bin/bash"),
        ("sshd: session", "/usr/sbin/sshd"),
        ("sudo -i", "/usr/bin/sudo"),
    ),
    ("linux", False): (
        ("/usr/lib/systemd/systemd --system --deserialize 31", "/usr/lib/systemd/systemd"),
        ("/usr/sbin/CRON -f -P", "/usr/sbin/cron"),
        ("/sbin/init", "/usr/lib/systemd/systemd"),
        ("/bin/sh -c run-parts --report /etc/cron.hourly", "/usr/bin/dash"),
    ),
    ("macos", True): (
        ("-zsh", "/bin/zsh"),
        (
            "/System/Applications/Utilities/Terminal.app/Contents/MacOS/Terminal",
            "/System/Applications/Utilities/Terminal.app/Contents/MacOS/Terminal",
        ),
        ("/bin/bash", "/bin/bash"),
        ("login -pf", "/usr/bin/login"),
    ),
    ("macos", False): (
        ("/sbin/launchd", "/sbin/launchd"),
        ("xpcproxy com.example.agent", "/usr/libexec/xpcproxy"),
        ("/bin/sh /etc/periodic/daily/110.clean-tmps", "/bin/sh"),
        ("/sbin/launchd", "/sbin/launchd"),
    ),
}
_CHOICES = 4
_FLAT = [pair for platform in PLATFORMS for human in (False, True) for pair in PARENTS[platform, human]]
_LINES, _IMAGES = (pa.array(column, pa.string()) for column in zip(*_FLAT, strict=True))


def with_parents(
    parent: pa.StringArray, image: pa.StringArray, code: np.ndarray, human: np.ndarray, rows: np.ndarray,
    rng: np.random.Generator,
) -> tuple[pa.StringArray, pa.StringArray]:  # fmt: skip
    """Parents and their programs, the missing ones filled in; a template mostly has the same one.

    Args:
        parent, image: (n,) what is known.
        code: (n,) place of the platform in `PLATFORMS`.
        human: (n,) bool, started by a person.
        rows: (n,) the template of each.
        rng: all chances.
    """
    missing = np.asarray(parent.is_null())
    if not missing.any():
        return parent, image
    # Half of the events keep to the template's usual parent, the others prefer the likely ones.
    n = len(rows)
    other = (rng.random(n) ** 2 * _CHOICES).astype(np.int64)
    choice = np.where(rng.random(n) < 0.5, (rows * 2654435761 >> 7) % _CHOICES, other)
    index = pa.array((code * 2 + human) * _CHOICES + choice)
    mask = pa.array(missing)
    return (
        pc.if_else(mask, _LINES.take(index), parent),
        pc.if_else(mask, _IMAGES.take(index), image),
    )
