"""The shapes of what a gateway answers, as far as this client reads them; fields it does not know are kept.

Times are ISO 8601 in UTC. A gateway that is newer than this client may add fields, so nothing here is closed.
"""

from typing import NotRequired, TypedDict


class Resource(TypedDict):
    """What every single thing has; ``version`` grows with every change."""

    id: str
    version: int
    created_at: str
    updated_at: str


class Named(Resource):
    """A thing that can be asked for by name too."""

    name: str


class Stateful(Resource):
    """A thing that moves through states; ``code`` and ``reason`` say why it failed, empty when all is well."""

    state: str
    code: NotRequired[str]
    reason: NotRequired[str]


class BackgroundTask(TypedDict):
    """One thing the gateway does by itself, and how it fares."""

    name: str
    enabled: bool
    failures_in_a_row: int
    last_error: str


class Endpoint(TypedDict):
    """A platform's URL and whether an admin approved where to dial it."""

    purpose: str
    url: str
    state: str
    dial: str


class Platform(Named):
    """One cloud as its owner enrolled it; never with its secret."""

    provider: str
    site: str
    region: str
    account: str
    endpoints: list[Endpoint]
    token: NotRequired[str | None]  # in the answer to enrolment only


class Provider(TypedDict):
    """A kind of cloud: what works there and how far it was tried."""

    name: str
    title: str
    standing: str
    how: str
    creates: bool
    may: list[str]
    note: str
    capabilities: dict[str, str]
    assets: dict[str, str]
    options: dict[str, str]
    needs: list[str]


class CloudMachine(TypedDict):
    """A machine at a platform, as its cloud listed it last; ``machine`` is the one in the catalog that it is."""

    cloud_id: str
    name: str
    status: str
    size: str
    image: str
    addresses: list[str]
    machine: str | None
    custody: str | None
    project: str | None
    claimed_by: str
    seen_at: str


class Right(TypedDict):
    """One capability of a platform's account, as it was last proved: held, proposed, lost or absent."""

    capability: str
    state: str
    request: str
    request_id: str
    detail: str
    proved_at: str


class Site(Named):
    """A place where relays and platforms are."""

    region: str
    latitude: float | None
    longitude: float | None
    country: str


class Permits(TypedDict):
    """What a relay should permit, and whether it is known to: unkept, current, behind or failing."""

    state: str
    addresses: list[str]
    written_at: str | None
    checked_at: str | None
    drifted_at: str | None
    code: str
    reason: str


class Finding(TypedDict):
    """What one check of a relay found; ``ok`` None: nobody can say, or it is as somebody wished."""

    check: str
    ok: bool | None
    detail: str
    fix: str


class Diagnosis(TypedDict):
    """What is found at a relay; ``healthy`` when no check failed."""

    relay: str
    healthy: bool
    findings: list[Finding]


class SshKey(TypedDict):
    """The key shown to relays, and how far its change is."""

    shown: str
    next: str | None
    waits_for: dict[str, str]
    holds_more: list[str]


class RelayAccount(TypedDict):
    """The accounts of a relay and the shell script that makes them."""

    account: str
    caretaker: str
    script: str


class Relay(Named):
    """A host with plain sshd that forwards."""

    site: str
    host: str
    port: int
    user: str
    host_key: str
    more_host_keys: list[str]
    enabled: bool
    caretaker: NotRequired[str]
    login: NotRequired[str]
    next_login: NotRequired[str]
    also_permitted: NotRequired[list[str]]
    permits: NotRequired[Permits]
    risk: float
    risk_groups: list[str]


class Link(Resource):
    """Hosts of one site may dial hosts of another."""

    source: str
    target: str
    both_ways: bool
    price_usd_per_gb: float | None
    capacity_mbps: float | None


Weights = dict[str, float]


class Connection(Stateful):
    """One requester reaching one target over a chosen route."""

    requester: str
    requester_id: str
    target: str
    target_id: str
    consented: bool
    route: str
    attempts: int
    policy: dict[str, object]


class AccountSession(TypedDict):
    """One of the three sessions of a connection."""

    id: str
    leg: str
    account: str
    parent_id: str | None
    calls: int
    opened_at: str
    ended_at: str | None


class Step(TypedDict):
    """One step of a connection or an order, as it passed."""

    step: str
    outcome: str
    detail: str
    at: str


class Grant(Stateful):
    """One capability that a platform granted: which verbs, how many, until when, and what proved it."""

    platform: str
    connection: str
    capability: str
    verbs: list[str]
    quota: int | None
    expires_at: str | None
    destinations: list[str]
    scope: dict[str, list[str]]
    cores: int | None
    memory_gib: int | None
    calls_per_minute: int | None
    on_end: str | None
    wind_down_s: float | None
    wind_down_until: str | None
    suspended_by: list[str]
    proofs: list[dict[str, object]]


class GrantTerms(Resource):
    """One version of a grant's terms as its owner signed them, and when and why they went out of force."""

    number: int
    terms: dict[str, object]
    given_at: str
    superseded_at: str | None
    reason: str
    evidence: str


class AnswerLink(TypedDict):
    """A link by which a grant is answered in a browser; ``path`` is below the gateway's address."""

    id: str
    grant: str
    path: str | None
    expires_at: str


class GrantRule(Resource):
    """A standing rule: what is granted by this platform for this capability is accepted ("*" = any)."""

    platform: str
    capability: str
