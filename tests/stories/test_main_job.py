"""S1 from request to catalog, then orders: HTTP in, real sshd relays, a real cloud process, a real connector."""

import contextlib
from collections.abc import Iterator

import pytest

from gateway.bootstrap import ADMIN_TOKEN_FILE
from tests.support.clouds import SECRET
from tests.support.small_world import PATIENCE_S, SmallWorld, small_world


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "postgresql and rabbitmq"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """A world whose platform is enrolled, connected, and has its grants accepted; its gateway logs all there is."""
    with contextlib.ExitStack() as stack:
        settings = '[log]\nlevel = "DEBUG"\n'
        if request.param != "sqlite":
            url = stack.enter_context(request.getfixturevalue("postgresql_server").fresh())
            settings += f'[database]\nurl = "{url}"\n'
        if request.param == "postgresql and rabbitmq":
            settings += f'[provision]\ndatabase_url = "{url}"\n'
            settings += f'[queue]\nurl = "{request.getfixturevalue("rabbitmq_server").url}"\n'
        world = stack.enter_context(small_world(tmp_path_factory.mktemp("world"), settings=settings))
        world.start_gateway()
        world.declare_network()
        world.enrol()
        world.connect()
        world.accept_all()
        yield world


def connection_of(world: SmallWorld) -> str:
    """Return the id of the platform's one connection."""
    (connection,) = world.admin.connections.list()
    return connection["id"]


def test_the_why_is_stored(world: SmallWorld) -> None:
    """Every candidate has its links' measurements and terms, which add up to the cost; the largest preference won."""
    decision = world.admin.connections.routes(connection_of(world))
    routes = {candidate["route"] for candidate in decision["candidates"]}
    # No link joins the gateway's site and the platform's, so direct is no candidate.
    assert routes == {"alpha", "beta", "alpha>beta", "beta>alpha"}
    for candidate in decision["candidates"]:
        assert len(candidate["links"]) == len(candidate["hops"]) + 1
        assert candidate["cost_ms"] == pytest.approx(sum(candidate["terms"].values()))
        assert candidate["preference"] == pytest.approx(100 * 2 ** (-candidate["cost_ms"] / 100))
    best = max(decision["candidates"], key=lambda candidate: candidate["preference"])
    assert decision["winner"] == best["route"]


def test_three_sessions_are_linked_and_count_alike(world: SmallWorld) -> None:
    """Account with the gateway, with the network, with the target: a chain, and each call counts in all three."""
    sessions = {each["leg"]: each for each in world.admin.connections.sessions(connection_of(world))}
    assert sessions["gateway"]["parent_id"] is None
    assert sessions["transport"]["parent_id"] == sessions["gateway"]["id"]
    assert sessions["target"]["parent_id"] == sessions["transport"]["id"]
    assert sessions["gateway"]["calls"] == sessions["transport"]["calls"] == sessions["target"]["calls"] > 0


def test_what_both_sides_granted_is_on_offer(world: SmallWorld) -> None:
    """Every capability that the owner granted and the admin accepted is an offer, and nothing else is."""
    assert world.on_offer() == world.accepted() == {"machine", "image", "size", "location", "key-pair", "volume"}


def test_an_order_is_created_once_and_can_be_watched(world: SmallWorld) -> None:
    """A cold order ends with exactly one machine, tagged with it; repeating the POST orders nothing more."""
    tenant, choice = world.tenant("cold"), world.machine_choice()
    assert choice is not None
    before = len(world.created())
    order = tenant.orders.create(**choice, idempotency_key="one-machine-please")
    again = tenant.orders.create(**choice, idempotency_key="one-machine-please")
    assert again["id"] == order["id"]
    done = tenant.orders.wait(
        order["id"], until=lambda each: each["state"] in {"fulfilled", "failed"}, timeout_s=PATIENCE_S
    )
    assert (done["state"], done["served_from"]) == ("fulfilled", "cold")
    assert len(world.created()) == before + 1
    assert "order.settled" in {step["step"] for step in tenant.orders.steps(order["id"])}


def test_a_pool_serves_at_once_and_fills_up_again(world: SmallWorld) -> None:
    """An order takes an idle machine without asking the cloud, and the pool makes another."""
    tenant, choice = world.tenant("pooled"), world.machine_choice()
    assert choice is not None
    pool = world.admin.pools.create(name="ready", **choice, idle_target=1, idle_limit=2, building_limit=1)

    def idle(pool: object) -> bool:
        return bool(pool["census"]["idle"] == 1)  # type: ignore[index]

    world.admin.pools.wait(pool["id"], until=idle, timeout_s=PATIENCE_S)
    order = tenant.orders.create(**choice)
    assert (order["state"], order["served_from"]) == ("fulfilled", "pool")
    world.admin.pools.wait(pool["id"], until=idle, timeout_s=PATIENCE_S)
    world.admin.pools.remove(pool["id"])


def test_a_machine_that_is_there_becomes_another(world: SmallWorld) -> None:
    """Resized, renamed, rebuilt through tunnel and grant: its own console, read at the cloud, says that it is so."""
    tenant, choice = world.tenant("changing"), world.machine_choice()
    assert choice is not None
    order = tenant.orders.create(**choice)
    done = tenant.orders.wait(
        order["id"], until=lambda each: each["state"] in {"fulfilled", "failed"}, timeout_s=PATIENCE_S
    )
    machine = str(done["machine"])
    assert tenant.machines.resize(machine, "medium")["size"] == "s2"
    assert tenant.machines.rebuild(machine, "img-web")["image"] == "img-web"
    name = tenant.machines.rename(machine, "web")["name"]
    told = tenant.machines.console(machine)["text"].splitlines()
    assert told[0].startswith(f"{name} is ")
    assert told[1] == "img-web on s2"


def test_a_tenant_sees_nothing_of_another(world: SmallWorld) -> None:
    """Another tenant's order and machine do not exist for a tenant; addresses, accounts and routes never show."""
    mine, other, choice = world.tenant("mine"), world.tenant("other"), world.machine_choice()
    assert choice is not None
    order = mine.orders.create(**choice)
    assert [each["id"] for each in other.orders.list()] == []
    seen = str([dict(each) for each in mine.offers.list()]) + str(dict(mine.orders.get(order["id"])))
    assert str(world.cloud.address.port) not in seen
    assert "alpha" not in seen


def test_the_secret_shows_nowhere(world: SmallWorld) -> None:
    """The account's secret is in no answer, no file, and no log, at whatever level; the tokens are in no log."""
    assert world.gateway is not None
    admin, connection = world.admin, connection_of(world)
    lists = (admin.platforms, admin.connections, admin.grants, admin.offers, admin.orders, admin.machines, admin.relays)
    answers = str([[dict(each) for each in every.list()] for every in lists])
    answers += str([list(admin.connections.sessions(connection)), dict(admin.connections.routes(connection))])
    files = b"".join(path.read_bytes() for path in world.state_dir.rglob("*") if path.is_file())
    log = world.gateway.log
    assert '"level": "DEBUG"' in log
    assert SECRET not in answers
    assert SECRET not in log
    assert SECRET.encode() not in files
    assert world.platform_token not in log
    assert (world.state_dir / ADMIN_TOKEN_FILE).read_text().strip() not in log
