"""The hosts of an estate: what each is for, what is installed on it, and so which templates run there."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cmdclf.lexicon.estate import Estate
from cmdclf.lexicon.pools import PoolTable
from cmdclf.telemetry import PLATFORMS

__all__ = ["Fleet", "Placement", "host_roles", "roles_of_topic"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CLIENTS = ("workstation", "developer", "admin", "shop-floor")
_SERVERS = (
    "domain-controller", "file-server", "database-server", "mail-server", "web-server", "deployment-server",
    "backup-server", "build-agent", "application-server", "container-node", "monitoring-server",
)  # fmt: skip
_ALL = frozenset(_CLIENTS + _SERVERS)
#: In the order in which the servers of a Windows domain are set up.
_WINDOWS_SERVERS = (
    "domain-controller", "file-server", "database-server", "deployment-server", "domain-controller", "web-server",
    "mail-server", "build-agent", "backup-server", "application-server", "database-server", "file-server",
)  # fmt: skip
_LINUX_SERVERS = {
    "web": "web-server",
    "db": "database-server",
    "ci": "build-agent",
    "app": "application-server",
    "k8s": "container-node",
    "log": "monitoring-server",
}
#: Word of a topic (a template's role) -> roles of the hosts that have it; several words give them all.
_TOPICS: tuple[tuple[str, frozenset[str]], ...] = (
    ("directory dc domain", frozenset({"domain-controller", "admin"})),
    ("database databases sql data", frozenset({"database-server", "admin"})),
    ("mail", frozenset({"mail-server", "admin"})),
    ("build builds ci pipelines", frozenset({"build-agent", "developer"})),
    ("developer development engineering", frozenset({"developer"})),
    ("container containers kubernetes", frozenset({"container-node", "build-agent", "developer"})),
    ("browser browsers office collaboration games", frozenset({"workstation", "developer", "admin"})),
    ("shop floor", frozenset({"shop-floor"})),
    ("backup", frozenset({"backup-server", "file-server", "database-server", "mail-server"})),
    ("monitoring", frozenset(_SERVERS)),
    ("certificates web", frozenset({"web-server", "domain-controller", "mail-server", "admin"})),
    ("helpdesk desk admin remote oneliners hands audit diagnostics network", frozenset({"admin", *_SERVERS})),
)
#: Words of topics whose lines people start; other topics are mostly the work of machines.
_PEOPLE = _names(
    "browser browsers office collaboration developer development engineering helpdesk desk admin remote oneliners "
    "hands audit diagnostics mac"
)
_UPDATERS = re.compile(r"deploy|install|updat|patch|msiexec|wusa|winget|choco|apt|dnf|yum|rpm|softwareupdate")
#: Every host has these; they say nothing about installed software.
_COMMON = _names(
    "powershell pwsh cmd bash sh zsh reg net sc schtasks wmic rundll32 regsvr32 netsh curl certutil find grep "
    "systemctl launchctl svchost conhost taskkill tasklist ping ssh"
)


def _words(topic: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", topic.lower()))


def roles_of_topic(topic: str) -> frozenset[str]:
    """Roles of the hosts where a topic's lines make sense; all of them where the topic's words don't say."""
    words = _words(topic)
    found = [roles for known, roles in _TOPICS if words & set(known.split())]
    return frozenset().union(*found) if found else _ALL


def host_roles(estate: Estate, platform: str) -> list[str]:
    """What each of the estate's hosts of a platform is for, as its name suggests."""
    rng = random.Random(f"roles {platform} {estate.sid_base}")
    roles = []
    servers = 0
    for name in estate.hosts[platform]:
        if platform == "windows" and "SRV" in name:
            roles.append(_WINDOWS_SERVERS[servers % len(_WINDOWS_SERVERS)])
            servers += 1
        elif platform == "linux":
            roles.append(_LINUX_SERVERS.get(name.split("-")[0], "application-server"))
        elif platform == "macos":
            roles.append("developer" if rng.random() < 0.4 else "workstation")
        else:
            roles.append(rng.choices(_CLIENTS, (70, 14, 6, 10))[0])
    return roles


@dataclass(frozen=True, slots=True)
class Placement:
    """The hosts of each template.

    Attributes:
        hosts: (m,) int64, indices into the estate's hosts of the template's platform, template sets one after another.
        start, size: (n,) int64, where a template's set starts and how many hosts it has.
    """

    hosts: np.ndarray
    start: np.ndarray
    size: np.ndarray

    def draw(self, rows: np.ndarray, low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A host for each event of the templates `rows` (n,); some hosts are much busier than others.

        Args:
            rows: rows of the pool.
            low, high: (n,) part of the set, as shares of it, that has the software on that day.
            rng: all chances.
        """
        size = self.size[rows]
        first = np.minimum((low * size).astype(np.int64), size - 1)
        last = np.maximum(np.ceil(high * size).astype(np.int64), first + 1)
        drawn = first + (rng.random(len(rows)) ** 1.5 * (last - first)).astype(np.int64)
        return np.asarray(self.hosts[self.start[rows] + np.minimum(drawn, last - 1)])


class Fleet:
    """An estate's hosts with their roles and software.

    Args:
        estate: the hosts.
        seed: which of the hosts that could have a software do have it.
    """

    def __init__(self, estate: Estate, seed: int = 0) -> None:
        self.estate = estate
        self.seed = seed
        self.roles = {platform: host_roles(estate, platform) for platform in PLATFORMS}

    def placement(self, table: PoolTable) -> Placement:
        """Where the templates of a pool run: on all hosts of the platform where the pool knows no topics."""
        sets: dict[tuple[str, ...], tuple[int, int]] = {}
        flat: list[int] = []
        start, size = np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)
        for row in range(len(table)):
            platform = table.platform[row]
            key = (platform, table.source[row], table.tool[row]) if table.tool is not None else (platform,)
            if table.malicious[row]:
                key = (platform,)
            if key not in sets:
                hosts = self._hosts(platform, *key[1:]) if len(key) > 1 else self._any(platform)
                sets[key] = len(flat), len(hosts)
                flat += hosts
            start[row], size[row] = sets[key]
        return Placement(np.array(flat, np.int64), start, size)

    def _any(self, platform: str) -> list[int]:
        return list(range(len(self.roles[platform])))

    def _hosts(self, platform: str, topic: str, tool: str) -> list[int]:
        wanted = roles_of_topic(topic)
        fitting = [i for i, role in enumerate(self.roles[platform]) if role in wanted] or self._any(platform)
        # One order per software: whoever has it has it for all topics.
        rng = random.Random(f"{self.seed} {platform} {tool.lower()}")
        common = not tool or tool.lower() in _COMMON
        share = 1.0 if common else rng.choice((1.0, 0.8, 0.5, 0.3))
        place = {host: rng.random() for host in self._any(platform)}
        installed = [i for i in fitting if place[i] < share] or [min(fitting, key=place.__getitem__)]
        return sorted(installed, key=place.__getitem__)

    def people(self, table: PoolTable) -> np.ndarray:
        """(n,) bool, whether people start a template's lines in working hours rather than machines at any time."""
        chance = np.full(len(table), 0.4)
        if table.tool is not None:
            known = {topic: 0.85 if _words(topic) & _PEOPLE else 0.15 for topic in set(table.source)}
            chance = np.asarray([known[topic] for topic in table.source])
            chance[table.malicious] = 0.5
        chosen: np.ndarray = np.random.default_rng([self.seed, 11]).random(len(table)) < chance
        return chosen

    def updaters(self, table: PoolTable) -> np.ndarray:
        """(n,) bool, whether a template belongs to the installing of software; none where the pool knows no topics."""
        if table.tool is None:
            return np.zeros(len(table), bool)
        texts = (f"{topic} {tool}".lower() for topic, tool in zip(table.source, table.tool, strict=True))
        found: np.ndarray = np.array([bool(_UPDATERS.search(text)) for text in texts], bool) & ~table.malicious
        return found

    def path_of_intrusion(self, platform: str, rng: np.random.Generator) -> np.ndarray:
        """(k,) int64, one to three hosts that an intruder comes to in turn: first a client where there is one."""
        roles = self.roles[platform]
        clients = [i for i, role in enumerate(roles) if role in _CLIENTS]
        servers = [i for i, role in enumerate(roles) if role in _SERVERS]
        entry = int(rng.choice(clients or servers))
        rest = [i for i in _shuffled(servers or clients, rng) if i != entry]
        return np.array([entry, *rest[: int(rng.choice(3, p=(0.6, 0.25, 0.15)))]], np.int64)


def _shuffled(values: Iterable[int], rng: np.random.Generator) -> list[int]:
    return [int(value) for value in rng.permutation(np.array(list(values), np.int64))]
