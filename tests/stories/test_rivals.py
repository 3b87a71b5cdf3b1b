"""Two rival organisations at one gateway: people log in, order, watch and are told, and see nothing of each other."""

import json
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.client.client import Client
from gateway.client.problems import ApiProblem, ClientError
from tests.support.receivers import Receiver, receiver
from tests.support.small_world import PATIENCE_S, SmallWorld, small_world


@dataclass
class Rival:
    """One side: its owner, logged in, and everything that came to it."""

    client: Client
    reference: str
    hooks: Receiver
    order: Mapping[str, Any] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    fed: "queue.Queue[Mapping[str, Any]]" = field(default_factory=queue.Queue)
    watched: list[Mapping[str, Any]] = field(default_factory=list)

    def watch(self) -> None:
        """Watch the event log from its beginning, in a thread of its own."""

        def follow() -> None:
            try:
                for event in self.client.events.watch(since=0):
                    self.fed.put(event)
            except ClientError:
                return

        threading.Thread(target=follow, daemon=True).start()

    def wait_for(self, kind: str) -> None:
        """Wait until the feed has told of ``kind``."""
        while True:
            event = self.fed.get(timeout=PATIENCE_S)
            self.watched.append(event)
            if event["kind"] == kind:
                return

    def everything(self) -> str:
        """Return all that this side can read by lists, and all that it was told."""
        client = self.client
        lists = [
            *(client.orders.list(), client.machines.list(), client.offers.list(), client.events.list()),
            *(client.organisations.list(), client.projects.list(), client.accounts.list(), client.memberships.list()),
            *(client.tokens.list(), client.sessions.list(), client.webhooks.list()),
        ]
        hooked = [sent.document for sent in self.hooks.sent]
        return json.dumps([[dict(each) for each in every] for every in lists]) + json.dumps([self.watched, hooked])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """A connected world with machines on offer."""
    settings = '[webhooks]\ninside_networks = ["127.0.0.0/8"]\n[login]\nargon2_memory_kib = 8192\n'
    with small_world(tmp_path_factory.mktemp("rivals"), settings=settings) as world:
        world.start_gateway()
        world.declare_network()
        world.enrol()
        world.connect()
        world.accept_all()
        yield world


def founded(world: SmallWorld, name: str, hooks: Receiver) -> Rival:
    """Found an organisation with a project and an owner, who logs in by password."""
    admin, password = world.admin, f"the password of {name}'s owner"
    organisation = admin.organisations.create(name=name)
    project = admin.projects.create(organisation=name, name="shop")
    owner = admin.accounts.create(kind="user", name=f"owner@{name}.example")
    admin.accounts.set_password(owner["id"], password)
    role = admin.memberships.create(account=owner["id"], role="owner", organisation=name)
    door = Client(world.server, timeout_s=PATIENCE_S)
    begun = door.sessions.begin(name=owner["name"], password=password)
    client = Client(world.server, begun["token"], timeout_s=PATIENCE_S)
    robot = client.accounts.create(kind="service", name="robot", project=f"{name}/shop")
    ids = {organisation["id"], project["id"], owner["id"], role["id"], begun["id"], robot["id"]}
    return Rival(client=client, reference=f"{name}/shop", hooks=hooks, ids=ids)


def test_two_rivals_see_nothing_of_each_other(world: SmallWorld) -> None:
    """Orders, machines, events, the feed, webhooks, people, tokens, sessions and the audit log: each has its own.

    By lists nothing of the other is shown, by its ids nothing of the other exists, and both see the same offers.
    """
    choice = world.machine_choice()
    assert choice is not None
    with ExitStack() as stack:
        sides = [founded(world, name, stack.enter_context(receiver())) for name in ("acme", "zenith")]
        for side in sides:
            side.watch()
            side.ids.add(side.client.webhooks.create(side.hooks.url, kind="order")["id"])
            side.order = side.client.orders.create(**choice)
        for side in sides:
            done = side.client.orders.wait(
                side.order["id"], until=lambda each: each["state"] == "fulfilled", timeout_s=PATIENCE_S
            )
            side.ids |= {done["id"], str(done["machine"])}
            side.wait_for("order.fulfilled")
            side.hooks.wait_for(lambda sent: sent.document["type"] == "order.fulfilled")

        for mine, other in (sides, sides[::-1]):
            seen = mine.everything()
            assert {each for each in mine.ids if each in seen} == mine.ids
            assert not [each for each in other.ids if each in seen]
            assert other.reference not in seen
            for look in (
                lambda who, it=other: who.orders.get(it.order["id"]),
                lambda who, it=other: who.orders.cancel(it.order["id"]),
                lambda who, it=other: who.projects.get(it.reference),
                lambda who, it=other: list(who.orders.list(project=it.reference)),
            ):
                with pytest.raises(ApiProblem) as refused:
                    look(mine.client)
                assert refused.value.status == 404
            with pytest.raises(ApiProblem) as refused:
                list(mine.client.audit.list())
            assert refused.value.status == 403
        offers = [sorted(each["id"] for each in side.client.offers.list()) for side in sides]
        assert offers[0] == offers[1] != []


def test_who_leaves_is_out_at_once(world: SmallWorld) -> None:
    """Her role is taken away: the next call is refused although her session stands, until she ends that too."""
    with receiver() as hooks:
        side = founded(world, "brief", hooks)
        assert list(side.client.orders.list()) == []
        [role] = [each for each in world.admin.memberships.list() if each["id"] in side.ids]
        world.admin.memberships.remove(role["id"])
        with pytest.raises(ApiProblem) as refused:
            list(side.client.orders.list())
        assert refused.value.status == 403
        assert side.client.whoami()["role"] == "guest"
        side.client.sessions.end()
        with pytest.raises(ApiProblem) as refused:
            side.client.whoami()
        assert refused.value.status == 401
