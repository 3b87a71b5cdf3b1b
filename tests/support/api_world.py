"""The real API over a real database on loopback, with two rivals, two platforms and one of everything else."""

import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from catalog import (
    access,
    accounts,
    connections,
    consent,
    enrolments,
    exits,
    grant_rules,
    logins,
    network,
    platforms,
    publish,
    tenancy,
    webhooks,
)
from catalog.approvals import rules
from catalog.approvals.rules import Terms
from catalog.cloud_assets import AssetKind, CloudAssets
from catalog.clouds import CloudItem, CloudMachine, CloudSize, MachineAction, MachineChanges, MachineStatus
from catalog.errors import CloudError, SealBroken
from catalog.holders import holder
from catalog.messages.handshake import CAPABILITY_VERBS, Capability, Decision, GrantedCapability
from catalog.messages.in_database import InDatabaseQueue
from catalog.model.access import Role
from catalog.model.approval import Approval, ApprovalState
from catalog.model.asset import Asset, AssetState
from catalog.model.ids import (
    ApprovalId,
    AssetId,
    ConnectionId,
    OfferId,
    PassageId,
    PlatformId,
    ProjectId,
    TokenId,
    new_id,
)
from catalog.model.machine import MACHINE_TRANSITIONS, Machine, MachineEvent
from catalog.model.order import Order
from catalog.model.passage import Passage, PassageKind
from catalog.model.price import Price
from catalog.orders.place import place
from catalog.pool.manage import create_pool
from catalog.prices import book, lines
from catalog.prices.ports import PublishedPrice, PublishedPrices
from catalog.providers import Provider
from catalog.search import saved
from catalog.secrets import Sealer, Secret
from catalog.store import rows
from catalog.store.database import Database, Tx
from catalog.tokens import issue_account_token, issue_token
from catalog.webhooks import WebhookPolicy
from drivers import registry
from gateway.api.proxies import Proxies
from gateway.api.server import build_app, serve_app
from gateway.api.services import ApiLimits, ApiServices, Wakes, signs_nothing
from gateway.connections.explanation import reranked
from gateway.connections.links import LinksPage
from gateway.connections.passing import Passing
from gateway.logins.doors import Doors, Oidc
from gateway.logins.passwords import PasswordPolicy
from tests.support.clocks import ManualClock
from tests.support.doubles import NotedChanges
from tests.support.memory_assets import MemoryAssets

GATEWAY_KEY = "Z2F0ZXdheS1nYXRld2F5LWdhdGV3YXktZ2F0ZXdheS0="
CANARY = "canary-7f3a-never-shown"  # the platforms' secret: no answer and no log line may hold it
STRANGER = "stranger"
PASSWORD = "a password of mara's"
CHEAP = PasswordPolicy(memory_kib=8192, passes=1, lanes=1)
ROLES = (
    *("admin", "operator", "auditor", "owner", "tenant", "viewer", "user"),
    *("neighbour", "rival", "platform", "other", "guest", STRANGER),
)


def _as_here(provider: Provider) -> Provider:
    """Return ``provider``; behind the platform of this world, a simulated one, is a cloud that makes everything."""
    return (
        replace(provider, assets=dict.fromkeys(AssetKind, provider.standing))
        if provider.name == "simulated"
        else provider
    )


def published(provider: str, region: str) -> PublishedPrices:
    """Return a price list of one price, whatever is asked for."""
    del provider
    price = PublishedPrice(region=region, size="s9", per_hour=Decimal("0.5"), currency="USD")
    return PublishedPrices(source="a list, 2026-01-01", as_of_s=1.0, prices=[price])


_template: list[tuple[bytes, dict[str, str], dict[str, str]]] = []


class FixedKeys:
    """One key, known to nobody but this test."""

    def current(self) -> tuple[str, bytes]:
        """Return it."""
        return "k1", b"k" * 32

    def by_id(self, key_id: str) -> bytes:
        """Return it by its name."""
        if key_id != "k1":
            raise SealBroken("there is one key alone")
        return b"k" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> Any:
        """Return the JSON document."""
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """Return the code of the problem."""
        return str(self.body["code"])


@dataclass(slots=True)
class ApiWorld:
    """A running API. ``ids`` names the seeded things; ``woken`` and ``acted`` are what the API asked of others.

    ``believed`` is what the network status tells; a test fills it.
    """

    services: ApiServices
    clock: ManualClock
    http: aiohttp.ClientSession
    url: str
    tokens: dict[str, str]
    ids: dict[str, str]
    woken: list[str]
    acted: list[tuple[str, str, MachineAction]]
    cloud_errors: list[CloudError]
    believed: dict[str, Any]
    assets: MemoryAssets
    changes: NotedChanges
    keys: Any = field(default_factory=itertools.count)

    async def call(
        self,
        role: str,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        """Send one request as ``role``, with whatever headers its method needs unless ``headers`` says otherwise."""
        sent = {}
        if role in self.tokens:
            sent["Authorization"] = f"Bearer {self.tokens[role]}"
        if method == "POST":
            sent["Idempotency-Key"] = f"key-{next(self.keys)}"
        if method in {"PUT", "PATCH", "DELETE"}:
            sent["If-Match"] = "*"
        data = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        if data is not None:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        kept = {name: value for name, value in sent.items() if value != ""}
        async with self.http.request(method, self.url + path, data=data, headers=kept) as response:
            return Reply(status=response.status, headers=response.headers.copy(), text=await response.text())

    async def write(self, work: Any) -> Any:
        """Change the database behind the API's back, as background work does."""
        return await self.services.database.write(work)


@asynccontextmanager
async def api_world(
    directory: Path,
    *,
    limits: ApiLimits | None = None,
    listen: str = "127.0.0.1:0",
    passing: Callable[[Database, ManualClock, Sealer], Passing] | None = None,
    sign: Callable[[bytes], bytes] = signs_nothing,
    oidc: Oidc | None = None,
    database_url: str | None = None,
    trusted_proxies: Sequence[str] = (),
) -> AsyncIterator[ApiWorld]:
    """Serve a freshly seeded API while the context lasts; ``passing`` makes what answers in passages.

    ``database_url`` is that of an empty database; None: a file in ``directory``.
    """
    clock = ManualClock()
    woken: list[str] = []
    acted: list[tuple[str, str, MachineAction]] = []
    cloud_errors: list[CloudError] = []
    believed: dict[str, Any] = {}

    def wake(task: str) -> None:
        assert task in Wakes.ALL
        woken.append(task)

    assets = MemoryAssets(clock)

    async def assets_of(platform: PlatformId) -> CloudAssets:
        del platform
        if cloud_errors:
            raise cloud_errors.pop()
        return assets

    async def act(platform: PlatformId, cloud_id: str, action: MachineAction) -> None:
        acted.append((platform, cloud_id, action))
        if cloud_errors:
            raise cloud_errors.pop()

    changes = NotedChanges(cloud_errors)

    async def machine_changes(platform: PlatformId) -> MachineChanges:
        del platform
        return changes

    sealer = Sealer(FixedKeys())
    url = database_url or f"sqlite:///{directory / 'api.db'}"
    tokens, ids = await (_seeded(url, clock, sealer) if database_url else _prepare(directory / "api.db", clock, sealer))
    async with Database.open(url, clock=clock) as database:
        queue = InDatabaseQueue(database, clock)
        await queue.prepare()
        services = ApiServices(
            database=database,
            clock=clock,
            sealer=sealer,
            known_providers=("simulated", "ec2"),
            providers=tuple(map(_as_here, registry.known_providers())),
            wake=wake,
            background_status=lambda: [{"name": "pools", "runs": 3, "failures_in_a_row": 0, "last_error": ""}],
            machine_action=act,
            assets_of=assets_of,
            machine_changes=machine_changes,
            check_account=registry.check,
            queue=queue,
            gateway_site="home",
            default_weights={"delay": 1.0, "loss": 1.0, "jitter": 1.0, "hops": 5.0, "price": 0.0, "risk": 0.0},
            gateway_info={"name": "test", "gateway_key": GATEWAY_KEY},
            limits=limits or ApiLimits(),
            network_status=lambda: believed,
            network_links=lambda *_asked: LinksPage(links=believed.get("links", []), next_row=believed.get("next_row")),
            what_if=reranked,
            published_prices=published,
            doors=Doors(CHEAP, oidc=oidc),
            passing=passing(database, clock, sealer) if passing else None,
            sign=sign,
            proxies=Proxies.named(trusted_proxies),
        )
        connector = aiohttp.UnixConnector(listen[5:]) if listen.startswith("unix:") else aiohttp.TCPConnector()
        async with serve_app(build_app(services), listen) as url, aiohttp.ClientSession(connector=connector) as http:
            base = "http://localhost" if listen.startswith("unix:") else url
            yield ApiWorld(
                services, clock, http, base, tokens, ids, woken, acted, cloud_errors, believed, assets, changes
            )


async def _prepare(path: Path, clock: ManualClock, sealer: Sealer) -> tuple[dict[str, str], dict[str, str]]:
    """Put the seeded database at ``path``: made once per process, copied for every test."""
    if not _template:
        tokens, ids = await _seeded(f"sqlite:///{path}", clock, sealer)
        _template.append((path.read_bytes(), tokens, ids))  # noqa: ASYNC240  # a test may wait for its disk
    content, tokens, ids = _template[0]
    path.write_bytes(content)  # noqa: ASYNC240  # see above
    return dict(tokens), dict(ids)


async def _seeded(url: str, clock: ManualClock, sealer: Sealer) -> tuple[dict[str, str], dict[str, str]]:
    async with Database.open(url, clock=clock) as database:
        return await database.write(lambda tx: _seed(tx, sealer, clock.now_s()))


def host_key() -> str:
    """Return a fresh OpenSSH host key line."""
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _seed(tx: Tx, sealer: Sealer, now_s: float) -> tuple[dict[str, str], dict[str, str]]:
    tokens: dict[str, str] = {}
    ids: dict[str, str] = {}
    _, tokens["admin"] = issue_token(tx, role=Role.ADMIN, name="root", now_s=now_s)
    for role, organisation in (("tenant", "bakery"), ("rival", "foundry")):
        ids[organisation] = tenancy.create_organisation(tx, name=organisation, now_s=now_s).id
        project = tenancy.create_project(tx, organisation=organisation, name=role, now_s=now_s)
        ids[role] = project.id
        token, tokens[role] = issue_token(tx, role=Role.MEMBER, name=role, subject_id=project.id, now_s=now_s)
        ids[f"{role}-token"] = token.id
    _seed_people(tx, tokens, ids, now_s)
    who = access.Principal(role=Role.ADMIN, subject_id="", token_id=TokenId(""), name="root")
    url, policy = "https://hooks.example.net", WebhookPolicy()
    webhook, _ = webhooks.create(tx, principal=who, url=url, kind="", sealer=sealer, policy=policy, now_s=now_s)
    ids["webhook"] = webhook.id
    who = access.Principal(role=Role.MEMBER, subject_id=ids["tenant"], token_id=TokenId(""), name="tenant")
    ids["search"] = saved.save(tx, who, name="near", query={"sort": "rtt_ms"}, now_s=now_s).id
    ids["site"] = network.add_site(tx, name="fra", now_s=now_s).id
    network.add_site(tx, name="sin", now_s=now_s)
    relay = network.add_relay(
        tx, name="fra-1", site="fra", host="10.0.0.1", user="relay", host_key=host_key(), now_s=now_s
    )
    ids["relay"] = relay.id
    ids["link"] = network.add_link(tx, source="fra", target="sin", now_s=now_s).id
    for role in ("platform", "other"):
        ids[role], tokens[role] = enrolled(tx, sealer, role, now_s)
    ids["exit"] = exits.approve(tx, platform="platform", relay="fra-1", now_s=now_s).id
    _seed_offers(tx, ids, now_s)
    return tokens, ids


def _seed_people(tx: Tx, tokens: dict[str, str], ids: dict[str, str], now_s: float) -> None:
    """Everybody else around the tenant's project, one of each role, and the same around its neighbours."""
    admin = access.Principal(role=Role.ADMIN, subject_id="", token_id=TokenId(""), name="root")
    for role in (Role.OPERATOR, Role.AUDITOR):
        _, tokens[role.value] = issue_token(tx, role=role, name=role.value, now_s=now_s)
    ids["neighbour"] = tenancy.create_project(tx, organisation="bakery", name="next", now_s=now_s).id
    for role, name, project in (
        (Role.OWNER, "owner", "tenant"),
        (Role.VIEWER, "viewer", "tenant"),
        (Role.OWNER, "neighbour", "neighbour"),
        (Role.OWNER, "rival-owner", "rival"),
    ):
        _, tokens[name] = issue_token(tx, role=role, name=name, subject_id=ids[project], now_s=now_s)
    mara, guest = (accounts.create_user(tx, name=name, now_s=now_s) for name in ("mara@bakery.example", "guest"))
    ids["mara"] = mara.id
    hasher = PasswordHasher(memory_cost=CHEAP.memory_kib, time_cost=CHEAP.passes, parallelism=CHEAP.lanes)
    rows.update(tx, mara, {"password": hasher.hash(PASSWORD)}, now_s)
    ids["session"] = logins.begin(
        tx, mara, way="password", address="10.9.9.9", agent="a browser", policy=logins.LoginPolicy(), now_s=now_s
    )[0].id
    accounts.create_user(tx, name="newcomer", now_s=now_s)
    # An auditor of the gateway who also owns a project: what one role gives does not widen what the other does.
    both = accounts.create_user(tx, name="both", gateway_role="auditor", now_s=now_s)
    accounts.join(tx, admin, account=both.id, role="owner", project="bakery/next", now_s=now_s)
    _, tokens["both"] = issue_account_token(tx, both, name="both", ttl_s=None, scopes=None, now_s=now_s)
    for account, name in ((mara, "user"), (guest, "guest")):
        token, tokens[name] = issue_account_token(tx, account, name=name, ttl_s=None, scopes=None, now_s=now_s)
        ids[f"{name}-token"] = token.id
    for role, project in (("member", "bakery/tenant"), ("viewer", "bakery/next")):
        joined = accounts.join(tx, admin, account=mara.id, role=role, project=project, now_s=now_s)
        ids.setdefault("membership", joined.id)
    ids["account"] = accounts.create_service(
        tx, name="robot", project=tenancy.project(tx, "bakery/tenant"), now_s=now_s
    ).id


def enrolled(tx: Tx, sealer: Sealer, name: str, now_s: float) -> tuple[str, str]:
    """Enrol a platform called ``name`` and return its id and token."""
    approved = {"purpose": "api", "url": f"https://{name}.example.org", "dial": "10.1.2.3:443"}
    _, text = enrolments.create_enrolment(tx, platform_name=name, endpoints=[approved], now_s=now_s)
    request = platforms.EnrolmentRequest(
        name=name,
        provider="simulated",
        site="fra",
        account=f"account-of-{name}",
        secret=Secret(CANARY),
        api_url=f"https://{name}.example.org",
    )
    row, token = platforms.enrol(
        tx, token_text=text, request=request, sealer=sealer, known_providers=("simulated",), now_s=now_s
    )
    return row.id, token


def _seed_offers(tx: Tx, ids: dict[str, str], now_s: float) -> None:
    platform = PlatformId(ids["platform"])
    connection = connections.request(tx, requester=platform, target=platform, policy={}, now_s=now_s)
    ids["connection"] = connection.id
    capabilities = (Capability.MACHINE, Capability.SIZE, Capability.IMAGE)
    wanted = {capability.value: CAPABILITY_VERBS[capability] for capability in capabilities}
    consent.propose(tx, platform_id=platform, connection_id=connection.id, request_id="r1", wanted=wanted, now_s=now_s)
    granted = tuple(GrantedCapability(capability=name, verbs=verbs) for name, verbs in wanted.items())
    grants = consent.record_decision(
        tx, platform_id=platform, decision=Decision(request_id="r1", granted=granted), now_s=now_s
    )
    for grant in grants:
        offer = publish.publish(tx, consent.accept(tx, grant.id, now_s), now_s)
        ids[f"grant-{grant.capability}"], ids[f"offer-{grant.capability}"] = grant.id, offer.id
    sizes = [CloudSize(cloud_id="s1", name="small", vcpu=1, memory_mib=512, disk_gib=10)]
    publish.store_inventory(tx, platform, "size", sizes, now_s)
    publish.store_inventory(tx, platform, "image", [CloudItem(cloud_id="i1", name="debian-12")], now_s)
    found = [
        CloudMachine(cloud_id=f"found-{each}", name=f"old-{each}", status=MachineStatus.RUNNING, size="s1", image="i1")
        for each in (1, 2)
    ]
    publish.store_inventory(tx, platform, "machine", found, now_s)
    ids["rule"] = str(grant_rules.add(tx, platform="*", capability="volume", now_s=now_s).id)
    told = "provider,item,unit,amount,currency,source\nsimulated,s1,hour,0.02,EUR,list\n"
    book.import_lines(tx, lines.read(told, lines.ListFormat.CSV, source="", now_s=now_s), now_s)
    ids["price"] = str(rows.where(tx, Price)[0].id)
    pool = create_pool(tx, name="warm", offer=ids["offer-machine"], size="small", image="debian-12", now_s=now_s)
    ids["pool"] = pool.id
    order = place(
        tx,
        project_id=ProjectId(ids["tenant"]),
        offer=ids["offer-machine"],
        size="s1",
        image="i1",
        name=None,
        now_s=now_s,
    )
    ids["order"] = order.id
    machine = rows.by_id(tx, Machine, order.machine_id or "")
    delivered = {"project_id": ids["tenant"], "cloud_id": "vm-1", "addresses": ["192.0.2.7"]}
    rows.move(tx, machine, MACHINE_TRANSITIONS, MachineEvent.DELIVERED, now_s, delivered)
    ids["machine"] = machine.id
    asset = Asset(
        id=AssetId(new_id("asset", now_s)), kind="volume", capability="volume", project_id=ProjectId(ids["tenant"]),
        platform_id=platform, offer_id=OfferId(ids["offer-machine"]), state=AssetState.READY, name="data",
        cloud_name="data", size_gib=8, cloud_id="vol-1",
    )  # fmt: skip
    ids["asset"] = rows.insert(tx, asset, now_s).id
    _seed_approval(tx, ids, order, now_s)
    _seed_passage(tx, ids, now_s)


def _seed_approval(tx: Tx, ids: dict[str, str], order: Order, now_s: float) -> None:
    """A rule that no order meets, and a question about the order which has had its answer."""
    admin = access.Principal(role=Role.ADMIN, subject_id="", token_id=TokenId(""), name="root")
    terms = Terms(name="elsewhere", platforms=["other"], approvers=["mara@bakery.example"])
    ids["approval-rule"] = rules.add(tx, holder(tx, ids["tenant"]), terms, admin, now_s).id
    question = Approval(
        id=ApprovalId(new_id("approval", now_s)),
        order_id=order.id,
        project_id=order.project_id,
        offer_id=order.offer_id,
        state=ApprovalState.APPROVED,
        expires_at_s=now_s,
        judged_at_s=now_s,
    )
    ids["approval"] = rows.insert(tx, question, now_s).id


def _seed_passage(tx: Tx, ids: dict[str, str], now_s: float) -> None:
    passage = Passage(
        id=PassageId(new_id("passage", now_s)),
        principal=f"platform:{ids['platform']}",
        platform_id=PlatformId(ids["platform"]),
        connection_id=ConnectionId(ids["connection"]),
        kind=PassageKind.HTTP,
        purpose="aws",
        opened_at_s=now_s,
        expires_at_s=now_s + 3600,
    )
    ids["passage"] = rows.insert(tx, passage, now_s).id
