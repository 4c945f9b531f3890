from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from cmdclf.lexicon import Estate, Lexicon, Template
from cmdclf.lexicon.fleet import Fleet, host_roles, roles_of_topic
from cmdclf.lexicon.parents import PARENTS, with_parents
from cmdclf.lexicon.pools import LexiconPool, ParquetPool
from cmdclf.lexicon.rollouts import plan_rollouts
from cmdclf.telemetry import PLATFORMS

ESTATE = Estate.from_seed(2, hosts=400)
FLEET = Fleet(ESTATE, seed=5)


def hosts_of(topic: str, tool: str, platform: str = "windows") -> set[int]:
    template = Template(id="t", label="benign", platform=platform, role=topic, tool=tool, line="x")
    placement = FLEET.placement(LexiconPool(Lexicon((template,))).table)
    return set(placement.hosts[placement.start[0] : placement.start[0] + placement.size[0]].tolist())


@pytest.mark.parametrize("platform", PLATFORMS)
def test_servers_and_clients_are_what_their_names_say(platform: str) -> None:
    roles = host_roles(ESTATE, platform)
    assert len(roles) == len(ESTATE.hosts[platform])
    for name, role in zip(ESTATE.hosts[platform], roles, strict=True):
        if platform == "windows":
            assert (role in {"workstation", "developer", "admin", "shop-floor"}) == ("SRV" not in name)
        if name.startswith("db-"):
            assert role == "database-server"
    assert platform != "windows" or roles.count("domain-controller") >= 2


def test_a_topic_lives_on_the_hosts_that_have_it() -> None:
    roles = FLEET.roles["windows"]
    assert {roles[i] for i in hosts_of("dc-maintenance", "ntdsutil")} <= {"domain-controller", "admin"}
    assert "workstation" not in {roles[i] for i in hosts_of("databases-mail", "sqlcmd")}
    assert "domain-controller" not in {roles[i] for i in hosts_of("office-collaboration", "ms-teams")}
    assert hosts_of("system-services", "svchost") == set(range(len(roles)))
    assert hosts_of("something-unheard-of", "cmd") == set(range(len(roles)))
    assert roles_of_topic("databases-mail") == roles_of_topic("databases") | roles_of_topic("mail")


def test_a_software_is_on_the_same_hosts_for_all_topics() -> None:
    tools = [f"vendor{i}" for i in range(30)]
    everywhere = {tool: hosts_of("system-services", tool) for tool in tools}
    assert 0.3 < np.mean([len(hosts) for hosts in everywhere.values()]) / len(FLEET.roles["windows"]) < 0.95
    for tool in tools:
        servers = hosts_of("monitoring", tool)
        assert servers <= everywhere[tool] or len(servers) == 1


def test_a_pool_without_topics_runs_everywhere(parquet_pool: ParquetPool) -> None:
    table = parquet_pool.table
    placement = FLEET.placement(table)
    assert placement.size.tolist() == [len(ESTATE.hosts[p]) for p in table.platform]
    assert 0.3 < FLEET.people(table).mean() < 0.5
    assert not FLEET.updaters(table).any()


def test_events_are_drawn_from_the_part_of_the_hosts_that_has_the_software() -> None:
    template = Template(id="t", label="benign", platform="windows", role="r", tool="cmd", line="x")
    placement = FLEET.placement(LexiconPool(Lexicon((template,))).table)
    rows, rng = np.zeros(3000, np.int64), np.random.default_rng(0)
    first = placement.draw(rows, np.zeros(3000), np.full(3000, 0.1), rng)
    rest = placement.draw(rows, np.full(3000, 0.1), np.ones(3000), rng)
    size = int(placement.size[0])
    assert len(set(first)) == int(np.ceil(0.1 * size))
    assert set(rest) <= set(placement.hosts.tolist())
    assert len(set(first) & set(rest)) <= 1
    none = placement.draw(rows, np.ones(3000), np.ones(3000), rng)
    assert len(set(none)) == 1


def test_people_do_office_work_and_machines_run_services() -> None:
    made = [
        Template(id=f"{role}{i}", label="benign", platform="windows", role=role, tool=tool, line=f"x{i}")
        for role, tool in (("browsers", "chrome"), ("system-services", "svchost"), ("installer-actions", "msiexec"))
        for i in range(200)
    ]
    table = LexiconPool(Lexicon(tuple(made))).table
    people, updaters = FLEET.people(table), FLEET.updaters(table)
    assert people[:200].mean() > 0.75
    assert people[200:400].mean() < 0.25
    assert updaters.tolist() == [False] * 400 + [True] * 200


def test_one_product_comes_while_another_goes() -> None:
    platform = np.array(["windows", "linux"] * 100, object)
    plan = plan_rollouts(platform, days=20, drift=0.5, rng=np.random.default_rng(1))
    coming = [k for k in range(200) if plan.share[0, k] == 0]
    going = [k for k in range(200) if plan.share[-1, k] == 0]
    assert 60 < len(coming) + len(going) < 140
    assert abs(len(coming) - len(going)) <= 2
    for k in coming:
        assert (np.diff(plan.share[:, k]) >= 0).all()
        assert (plan.high[:, k] == plan.share[:, k]).all()
    for k in going:
        assert (np.diff(plan.share[:, k]) <= 0).all()
        assert plan.low[:, k] == pytest.approx(1 - plan.share[:, k])
    assert any(((plan.share[:, k] > 0) & (plan.share[:, k] < 1)).any() for k in coming)
    still = set(range(200)) - set(coming) - set(going)
    assert (plan.share[:, sorted(still)] == 1).all()
    assert (plan_rollouts(platform, days=2, drift=1.0, rng=np.random.default_rng(1)).share == 1).all()


def test_a_missing_parent_fits_the_platform_and_who_is_at_work() -> None:
    n = 600
    code, human = np.arange(n) % 3, np.arange(n) % 2 == 0
    known = pa.array(["kept" if k % 7 == 0 else None for k in range(n)], pa.string())
    image = pa.nulls(n, pa.string())
    lines, images = with_parents(known, image, code, human, np.arange(n) // 6, np.random.default_rng(0))
    for k, (line, program) in enumerate(zip(lines.to_pylist(), images.to_pylist(), strict=True)):
        if k % 7 == 0:
            assert (line, program) == ("kept", None)
        else:
            assert (line, program) in PARENTS[PLATFORMS[code[k]], bool(human[k])]
    assert len(set(lines.to_pylist())) > 15
