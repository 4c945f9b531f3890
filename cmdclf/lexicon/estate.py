"""One imaginary company: its users, hosts, domain, shares, software and services.

Both labels draw from the same finite pools, so that no value gives a label away.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

__all__ = ["Estate"]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _names(
    "anna ben carla david elena frank grace henrik iris jonas karin lukas maria nils olga peter "
    "rosa stefan tina ulrich vera walter yusuf zoe amir bianca chen dana emil farah"
)
_LAST = _names(
    "adams baker costa dietz evans fischer gupta hansen ito jensen keller larsen moreno novak "
    "okafor petrov quinn rossi schmidt tanaka unger vargas weber xu young ziegler"
)
_DOMAINS = ("corp.example.com", "ad.example.net", "intra.example.org", "hq.example.com", "emea.example.net")
_SITES = ("ber", "lon", "nyc", "sgp", "muc", "par")
_SHARES = ("software", "deploy", "public", "finance", "profiles", "backup", "scans", "install", "projects", "it")
_WORDS = _names(
    "report invoice ledger orders stage nightly archive metrics billing portal catalog payroll "
    "survey gateway shipping audit sensor camera printer intake batch mirror cache queue index "
    "summary forecast budget roster ticket import export sync review sample backlog delta harbor"
)
_TASKS = _names(
    "InventoryScan NightlyBackup LogRotation CertificateRenewal UpdateCheck DiskCleanup PolicyRefresh HealthProbe "
    "ReportExport ProfileSync TelemetryUpload PatchWindow CacheWarmup LicenseCheck SessionCleanup"
)
_NAMESPACES = _names("default platform payments monitoring ingress data-tools staging production build team-blue")
_UNITS = _names("Finance Sales Engineering Workstations Servers ServiceAccounts Contractors Berlin London Legal HR")
_DOCUMENTS = (
    "Quarterly report",
    "Budget draft",
    "Meeting notes",
    "Invoice",
    "Price list",
    "Team photo list",
    "Contract",
    "Project plan",
    "Travel expenses",
    "inventory_export",
    "Handover",
    "Scan",
)
_PRODUCTS = (
    "Northwind Agent",
    "Contoso Backup",
    "Fabrikam VPN",
    "Litware Sync",
    "Tailspin Print",
    "Adatum Inventory",
    "Proseware Client",
    "Wingtip Reader",
    "Datum Viewer",
    "Alpine Connector",
)
_SERVICES = {
    "windows": _names(
        "Spooler W32Time BITS wuauserv WinRM Netlogon LanmanServer MSSQLSERVER SQLAgent "
        "NorthwindAgent ContosoBackup FabrikamVpn TailspinPrint AdatumInventory EventLog"
    ),
    "linux": _names("sshd nginx postgresql redis cron chronyd rsyslog docker containerd kubelet node_exporter postfix"),
    "macos": _names(
        "com.example.agent com.example.backup com.example.vpn org.example.sync com.example.inventory net.example.print"
    ),
}


@dataclass(frozen=True, slots=True)
class Estate:
    """Users, hosts, domain and shares that belong together; the value pools of all slots.

    Attributes:
        users: account names of people.
        hosts: platform -> host names.
        domain: DNS name of the directory, under a reserved name.
        shares: UNC paths without a trailing backslash.
        words, products: stems of files and names of software.
        services: platform -> service names.
        tasks, namespaces, units, documents: scheduled jobs, teams' areas, parts of the directory, stems with blanks.
        first_names, last_names: of the people whose accounts are in `users`.
        sid_base: the domain's SID without the relative id.
    """

    users: tuple[str, ...]
    hosts: dict[str, tuple[str, ...]]
    domain: str
    shares: tuple[str, ...]
    words: tuple[str, ...]
    products: tuple[str, ...]
    services: dict[str, tuple[str, ...]]
    sid_base: str
    tasks: tuple[str, ...] = _TASKS
    namespaces: tuple[str, ...] = _NAMESPACES
    units: tuple[str, ...] = _UNITS
    documents: tuple[str, ...] = _DOCUMENTS
    first_names: tuple[str, ...] = _FIRST
    last_names: tuple[str, ...] = _LAST

    @classmethod
    def from_seed(cls, seed: int = 0, *, users: int = 120, hosts: int = 200) -> Estate:
        """The estate of a seed: about 70 % Windows hosts, 20 % Linux, 10 % macOS."""
        rng = random.Random(f"estate {seed}")
        names = [name for a in _FIRST for b in _LAST for name in (f"{a}.{b}", f"{a[0]}{b}")]
        rng.shuffle(names)
        site = [rng.choice(_SITES) for _ in range(hosts)]
        counts = {"linux": max(1, hosts // 5), "macos": max(1, hosts // 10)}
        counts["windows"] = max(1, hosts - counts["linux"] - counts["macos"])
        windows = tuple(
            f"{site[i % hosts]}-{'srv' if i % 7 == 0 else rng.choice(('ws', 'nb'))}{i + 101:04d}".upper()
            for i in range(counts["windows"])
        )
        linux = tuple(
            f"{rng.choice(('web', 'db', 'ci', 'app', 'k8s', 'log'))}-{site[i % hosts]}-{i + 1:02d}"
            for i in range(counts["linux"])
        )
        macos = tuple(f"mac-{site[i % hosts]}-{i + 1:03d}" for i in range(counts["macos"]))
        servers = [h for h in windows if "SRV" in h] or list(windows)
        return cls(
            users=tuple(dict.fromkeys(names))[:users],
            hosts={"windows": windows, "linux": linux, "macos": macos},
            domain=rng.choice(_DOMAINS),
            shares=tuple(f"\\\\{rng.choice(servers)}\\{share}" for share in _SHARES),
            words=_WORDS,
            products=_PRODUCTS,
            services=dict(_SERVICES),
            sid_base="S-1-5-21-" + "-".join(str(rng.randrange(10**8, 2**31)) for _ in range(3)),
        )

    @property
    def netbios(self) -> str:
        """The domain's short name, in capitals."""
        return self.domain.split(".")[0].upper()


@cache
def default_estate() -> Estate:
    """The estate that is used where none is given."""
    return Estate.from_seed(0)
