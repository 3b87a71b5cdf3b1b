"""What the demo does, step by step, as its users would: an admin, three platforms and a tenant, over the HTTP API."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.client.client import Client
from gateway.client.problems import ClientError
from gateway.connector.commands import answer as answer_as_owner
from gateway.connector.commands import list_pending
from gateway.demo.cities import GATEWAY, PLATFORMS, RELAYS, links
from gateway.demo.estate import DEMO_PLATFORMS, DemoFailed, DemoPlatform, Estate

# Generous: two busy cores, and a first call to moto alone takes seconds.
PATIENCE_S = 90.0
# How much slower the winning link gets: enough that the next best route is clearly better.
DEGRADED_MS = 250.0
ASKED = "volume"  # what the owner of the private cloud wants to be asked about
POOLED = "dubai"
COLD = "ohio"
MOVED = "dubai"


@dataclass(slots=True, kw_only=True)
class Report:
    """What happened: one entry a step, each with its duration in ms; ``ok`` only if every step held."""

    wan: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every step held."""
        return bool(self.steps) and all(step["ok"] for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        return {"ok": self.ok, "wan": self.wan, "steps": self.steps, **self.facts}


@dataclass(slots=True, kw_only=True)
class Story:
    """Carries the steps out against a running estate; ``tell`` is told of every step as it ends."""

    estate: Estate
    report: Report
    tell: Callable[[str, Mapping[str, Any]], None]
    platform_tokens: dict[str, str] = field(default_factory=dict)
    connections: dict[str, str] = field(default_factory=dict)
    tenant_token: str = ""

    def run(self) -> None:
        """Carry out every step in order. Raises DemoFailed at the first that does not hold."""
        with self._step("declare the network") as seen:
            self._declare(seen)
        with self._step("enrol three platforms") as seen:
            self._enrol(seen)
        with self._step("establish their connections") as seen:
            self._connect(seen)
        with self._step("three sessions each") as seen:
            self._sessions(seen)
        with self._step("grants from both sides") as seen:
            self._consent(seen)
        with self._step("one catalog") as seen:
            self._catalog(seen)
        with self._step("keep machines ready") as seen:
            self._pool(seen)
        with self._step("order served from the pool") as seen:
            self._order(POOLED, "pool", seen)
        with self._step("order created cold") as seen:
            self._order(COLD, "cold", seen)
        with self._step("the winning link degrades, the route moves") as seen:
            self._degrade(seen)

    @property
    def admin(self) -> Client:
        """The admin's client."""
        return Client(self.estate.server, self.estate.admin_token(), timeout_s=PATIENCE_S)

    @property
    def tenant(self) -> Client:
        """The tenant's client."""
        return Client(self.estate.server, self.tenant_token, timeout_s=PATIENCE_S)

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[dict[str, Any]]:
        seen: dict[str, Any] = {}
        entry: dict[str, Any] = {"step": name, "ok": False}
        self.report.steps.append(entry)
        started_s = time.perf_counter()
        try:
            yield seen
            entry["ok"] = True
        except (ClientError, DemoFailed) as error:
            entry["error"] = str(error)
            raise DemoFailed(f"{name}: {error}") from error
        finally:
            entry["duration_ms"] = round((time.perf_counter() - started_s) * 1000, 1)
            self.report.facts.update(seen)
            self.tell(name, {**entry, **seen})

    def _declare(self, seen: dict[str, Any]) -> None:
        admin = self.admin
        for city in (GATEWAY, *RELAYS, *PLATFORMS):
            if city is not GATEWAY:
                admin.sites.create(name=city.site, region=city.region, latitude=city.latitude, longitude=city.longitude)
        for city in RELAYS:
            relay = self.estate.relays[city.site]
            address = relay.address_from(GATEWAY.site)
            admin.relays.create(
                name=city.site.removeprefix("relay-"),
                site=city.site,
                host=address.host,
                port=address.port,
                user=relay.user,
                host_key=relay.host_key,
                addresses_from=self.estate.dials_from(city.site, relay.port),
            )
        for link in links():
            admin.links.create(source=link.a, target=link.b)
        seen["relays"] = [city.site.removeprefix("relay-") for city in RELAYS]
        seen["links_count"] = len(links())

    def _enrol(self, seen: dict[str, Any]) -> None:
        for platform in DEMO_PLATFORMS:
            enrolment = self.admin.enrolments.create(
                platform_name=platform.site,
                endpoints=[self._endpoint(platform, "api"), self._endpoint(platform, "connector")],
            )
            # From here on the platform's owner acts, with nothing but the one-time token.
            owner = Client(self.estate.server, timeout_s=PATIENCE_S)
            enrolled = owner.platforms.enrol(
                enrolment_token=enrolment["token"] or "",
                name=platform.site,
                provider=platform.provider,
                site=platform.site,
                region=platform.region,
                account=platform.account,
                secret=self.estate.secrets[platform.site],
                api=_without_none({"url": platform.url, "ca_pem": self.estate.ca_of(platform.site)}),
                connector={"url": _connector_url(platform)},
                public_key=self.estate.connector_keys[platform.site],
                options=platform.options,
            )
            self.platform_tokens[platform.site] = enrolled.get("token") or ""
        seen["platforms"] = [platform.site for platform in DEMO_PLATFORMS]

    def _endpoint(self, platform: DemoPlatform, purpose: str) -> dict[str, object]:
        port = self.estate.ports[platform.site, purpose]
        return _without_none(
            {
                "purpose": purpose,
                "url": platform.url if purpose == "api" else _connector_url(platform),
                "dial": self.estate.dial(GATEWAY.site, platform.site, port),
                "dials_from": self.estate.dials_from(platform.site, port) or None,
                "ca_pem": self.estate.ca_of(platform.site) if purpose == "api" else None,
            }
        )

    def _connect(self, seen: dict[str, Any]) -> None:
        for site, token in self.platform_tokens.items():
            client = Client(self.estate.server, token, timeout_s=PATIENCE_S)
            self.connections[site] = client.connections.request()["id"]
        seen["connections"] = []
        for site, connection_id in self.connections.items():
            done = self.admin.connections.wait(
                connection_id,
                until=lambda each: (
                    each["state"] in {"established", "closed"}
                    or (each["state"] == "failed" and each.get("code") != "hop-timed-out")
                ),
                timeout_s=PATIENCE_S,
            )
            if done["state"] != "established":
                raise DemoFailed(f"{site} is {done['state']}: {done.get('reason')}")
            decision = self.admin.connections.routes(connection_id)
            seen["connections"].append({"platform": site, "id": connection_id, "route": done["route"], **decision})

    def _sessions(self, seen: dict[str, Any]) -> None:
        seen["sessions"] = {}
        for site, connection_id in self.connections.items():
            sessions = list(self.admin.connections.sessions(connection_id))
            if sorted(each["leg"] for each in sessions) != ["gateway", "target", "transport"]:
                raise DemoFailed(f"{site} has sessions {[each['leg'] for each in sessions]}")
            seen["sessions"][site] = sessions

    def _consent(self, seen: dict[str, Any]) -> None:
        config = self.estate.connector_config(POOLED)
        for pending in list_pending(config):
            answer_as_owner(config, pending.request_id, ASKED, "grant")
        self._until(lambda: self._grant(POOLED, ASKED)["state"] == "granted", "the owner's answer arrives")
        # Ohio's grants are accepted by a standing rule; the others' by the admin, one by one.
        for grant in self.admin.grants.list():
            if grant["state"] == "granted":
                self.admin.grants.accept(grant["id"])
        seen["grants"] = [
            {key: grant.get(key) for key in ("platform", "capability", "verbs", "quota", "state")}
            for grant in self.admin.grants.list()
        ]
        if any(
            grant["state"] == "accepted"
            for grant in seen["grants"]
            if grant["capability"] == "key-pair" and grant["platform"] == "mumbai"
        ):
            raise DemoFailed("a capability that its owner denied was accepted")

    def _grant(self, platform: str, capability: str) -> Mapping[str, Any]:
        for grant in self.admin.grants.list():
            if (grant["platform"], grant["capability"]) == (platform, capability):
                return grant
        raise DemoFailed(f"{platform} was never asked for {capability}")

    def _catalog(self, seen: dict[str, Any]) -> None:
        self.admin.organisations.create(name="acme")
        self.admin.projects.create(organisation="acme", name="shop")
        token = self.admin.tokens.create(role="member", name="acme", project="acme/shop")
        self.tenant_token = token.get("token") or ""

        self._until(
            lambda: self._offered() == self._accepted(), "what both sides granted is on offer, and nothing else"
        )
        machines = [each["id"] for each in self.tenant.offers.list() if each["capability"] == "machine"]
        if len(machines) != len(DEMO_PLATFORMS):
            raise DemoFailed(f"{len(machines)} of {len(DEMO_PLATFORMS)} platforms offer machines")
        self._until(lambda: all(self._ready_to_order(each) for each in machines), "sizes are known")
        seen["offers"] = [
            {key: each.get(key) for key in ("id", "capability", "platform", "region", "state")}
            for each in self.tenant.offers.list()
        ]

    def _accepted(self) -> set[tuple[str, str]]:
        grants = self.admin.grants.list()
        return {(each["platform"], each["capability"]) for each in grants if each["state"] == "accepted"}

    def _offered(self) -> set[tuple[str, str]]:
        offers = self.tenant.offers.list()
        return {(each["platform"], each["capability"]) for each in offers if each["state"] == "offered"}

    def _ready_to_order(self, offer_id: str) -> bool:
        offer = self.tenant.offers.get(offer_id)
        return bool(offer.get("sizes")) and bool(offer.get("images"))

    def _choice(self, site: str) -> tuple[str, str, str]:
        """Return the machine offer of ``site`` with its smallest size and first image."""
        for each in self.tenant.offers.list():
            if (each["capability"], each["platform"]) == ("machine", site):
                offer = self.tenant.offers.get(each["id"])
                size = min(offer["sizes"], key=lambda size: (size["facts"].get("memory_mib") or 0, size["name"]))
                return offer["id"], str(size["id"]), str(offer["images"][0]["id"])
        raise DemoFailed(f"{site} offers no machines")

    def _pool(self, seen: dict[str, Any]) -> None:
        offer, size, image = self._choice(POOLED)
        pool = self.admin.pools.create(
            name="ready", offer=offer, size=size, image=image, idle_target=2, idle_limit=3, building_limit=2
        )
        self._until(lambda: self.admin.pools.get(pool["id"])["census"]["idle"] >= 1, "a machine is idle in the pool")
        seen["pool"] = dict(self.admin.pools.get(pool["id"]))

    def _order(self, site: str, expected: str, seen: dict[str, Any]) -> None:
        offer, size, image = self._choice(site)
        tenant = self.tenant
        started_s = time.perf_counter()
        order = tenant.orders.create(offer=offer, size=size, image=image, name=f"web-{expected}")
        answered_ms = (time.perf_counter() - started_s) * 1000
        done = tenant.orders.wait(
            order["id"], until=lambda each: each["state"] in {"fulfilled", "failed"}, timeout_s=PATIENCE_S
        )
        if done["state"] != "fulfilled" or done["served_from"] != expected:
            raise DemoFailed(f"order is {done['state']} from {done['served_from']!r}: {done.get('reason')}")
        seen[f"order_{expected}"] = {
            **done,
            "answered_ms": round(answered_ms, 1),
            "fulfilled_ms": round((time.perf_counter() - started_s) * 1000, 1),
            "steps": [dict(step) for step in tenant.orders.steps(order["id"])],
        }

    def _degrade(self, seen: dict[str, Any]) -> None:
        connection_id = self.connections[MOVED]
        before = self.admin.connections.get(connection_id)["route"]
        hops = [f"relay-{hop}" for hop in before.split(">")] if before != "direct" else []
        # The last link of the route carries nothing but this platform's traffic.
        a, b = (hops[-1] if hops else GATEWAY.site), MOVED
        self.estate.wan.set_link(a, b, delay_ms=DEGRADED_MS)
        self._until(lambda: self.admin.connections.get(connection_id)["route"] != before, "the route moves")
        after = self.admin.connections.get(connection_id)["route"]
        decision = self.admin.connections.routes(connection_id)
        seen["moved"] = {"platform": MOVED, "link": [a, b], "before": before, "after": after, **decision}

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > deadline_s:
                raise DemoFailed(f"waited {PATIENCE_S:.0f} s in vain until {what}")
            time.sleep(0.1)


def _connector_url(platform: DemoPlatform) -> str:
    return f"http://connector.{platform.site}.internal"


def _without_none(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
