"""One gateway, seen by one caller: ``Client("http://127.0.0.1:8780", token).relays.list()``."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from itertools import islice

from gateway.client.accounts import Accounts, Memberships, Sessions, Tokens
from gateway.client.address import parse_address
from gateway.client.approvals import ApprovalRules, Approvals
from gateway.client.assets import Assets
from gateway.client.audit import Audit
from gateway.client.budgets import Budgets, Costs
from gateway.client.collection import Collection, body_of
from gateway.client.connections import Connections, GrantRules, Grants
from gateway.client.events import Events
from gateway.client.exits import Exits
from gateway.client.leases import LeaseRules
from gateway.client.network import Links, LiveWeights, OwnSshKey, Relays, Sites
from gateway.client.network_status import KnownNetwork, LinkStatus, NetworkStatus
from gateway.client.orders import Entries, Machines, Offers, Orders, Pools
from gateway.client.passages import Passages
from gateway.client.people import Identity
from gateway.client.platforms import Enrolments, Platforms
from gateway.client.prices import Prices
from gateway.client.problems import ApiProblem
from gateway.client.queue import DeadLetters
from gateway.client.quotas import Quotas
from gateway.client.resources import BackgroundTask, Provider
from gateway.client.schedules import Schedules
from gateway.client.search import SavedSearches, Search
from gateway.client.tenancy import Organisations, Projects
from gateway.client.webhooks import Webhooks
from gateway.client.wire import Exchange, Wire, _ignore


class Client:
    """Every resource of one gateway. Threads may share it: each request has its own connection.

    Every method may raise ApiProblem (the gateway said no), ServerUnreachable or AnswerUnreadable.
    """

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        on_exchange: Callable[[Exchange], None] = _ignore,
    ) -> None:
        """Speak to ``server`` (http://host:port, https://host, unix:/path). Raises AddressInvalid."""
        self.wire = Wire(address=parse_address(server), token=token, timeout_s=timeout_s, on_exchange=on_exchange)
        self.organisations = Organisations(self.wire, "/v1/organisations")
        self.projects = Projects(self.wire, "/v1/projects")
        self.accounts = Accounts(self.wire, "/v1/accounts")
        self.sessions = Sessions(self.wire, "/v1/sessions")
        self.memberships = Memberships(self.wire, "/v1/memberships")
        self.tokens = Tokens(self.wire, "/v1/tokens")
        self.enrolments = Enrolments(self.wire)
        self.platforms = Platforms(self.wire, "/v1/platforms")
        self.providers = Collection[Provider](self.wire, "/v1/providers")
        self.sites = Sites(self.wire, "/v1/sites")
        self.relays = Relays(self.wire, "/v1/relays")
        self.exits = Exits(self.wire, "/v1/exits")
        self.links = Links(self.wire, "/v1/links")
        self.weights = LiveWeights(self.wire)
        self.ssh_key = OwnSshKey(self.wire)
        self.connections = Connections(self.wire, "/v1/connections")
        self.grants = Grants(self.wire, "/v1/grants")
        self.grant_rules = GrantRules(self.wire, "/v1/grant-rules")
        self.entries = Entries(self.wire, "/v1/catalog")
        self.offers = Offers(self.wire, "/v1/offers")
        self.search = Search(self.wire)
        self.saved_searches = SavedSearches(self.wire, "/v1/saved-searches")
        self.lease_rules = LeaseRules(self.wire, "/v1/lease-rules")
        self.budgets = Budgets(self.wire, "/v1/budgets")
        self.costs = Costs(self.wire)
        self.quotas = Quotas(self.wire, "/v1/quotas")
        self.prices = Prices(self.wire, "/v1/prices")
        self.orders = Orders(self.wire, "/v1/orders")
        self.approvals = Approvals(self.wire, "/v1/approvals")
        self.approval_rules = ApprovalRules(self.wire, "/v1/approval-rules")
        self.pools = Pools(self.wire, "/v1/pools")
        self.machines = Machines(self.wire, "/v1/machines")
        self.assets = Assets(self.wire, "/v1/assets")
        self.schedules = Schedules(self.wire, "/v1/schedules")
        self.passages = Passages(self.wire, "/v1/passages")
        self.events = Events(self.wire, "/v1/events")
        self.webhooks = Webhooks(self.wire, "/v1/webhooks")
        self.audit = Audit(self.wire, "/v1/audit")
        self.dead_letters = DeadLetters(self.wire, "/v1/dead-letters")

    def whoami(self) -> Identity:
        """Return who the token speaks for."""
        return body_of(self.wire.call("GET", "/v1/whoami"), self.wire)

    def network_status(self) -> NetworkStatus:
        """Return the network as it is declared, and what measuring it takes and found (admins only)."""
        return body_of(self.wire.call("GET", "/v1/network/status"), self.wire)

    def network_links(self, *, near: str | None = None) -> Iterator[LinkStatus]:
        """Yield what is believed of every link, or of those at one node: gateway, a relay, platform/NAME."""
        return Collection[LinkStatus](self.wire, "/v1/network/links").list(near=near)

    def known_network(self, *, near: str | None = None, limit: int | None = None) -> KnownNetwork:
        """Return the status together with at most ``limit`` links, all of them or those ``near`` a node."""
        return {**self.network_status(), "links": list(islice(self.network_links(near=near), limit))}

    def background(self) -> Iterator[BackgroundTask]:
        """Yield the status of every background task."""
        return Collection[BackgroundTask](self.wire, "/v1/background").list()

    def is_ready(self) -> bool:
        """Return whether the gateway takes work; False when it is alive and says that it does not yet."""
        try:
            self.wire.call("GET", "/readyz")
        except ApiProblem as problem:
            if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:  # how it says "not yet"
                return False
            raise
        return True
