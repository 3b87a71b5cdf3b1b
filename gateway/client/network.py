"""The transport network through the API: sites, relays, links, and the weights that rank routes."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from gateway.client.collection import Collection, body_of, given
from gateway.client.resources import Diagnosis, Link, Relay, RelayAccount, Site, SshKey, Weights
from gateway.client.wire import Wire


class Sites(Collection[Site]):
    """The places where relays and platforms are."""

    def create(
        self,
        *,
        name: str,
        region: str | None = None,
        latitude: float | None = None,
        longitude: float | None = None,
        country: str | None = None,
    ) -> Site:
        """Declare a site; degrees, north and east positive; the country's ISO 3166-1 code."""
        return self._create(given(name=name, region=region, latitude=latitude, longitude=longitude, country=country))

    def set(
        self,
        key: str,
        *,
        region: str | None = None,
        latitude: float | None = None,
        longitude: float | None = None,
        country: str | None = None,
    ) -> Site:
        """Change what is named and keep the rest."""
        changes = given(region=region, latitude=latitude, longitude=longitude, country=country)
        return self._change("PATCH", key, body=changes, if_match=None)

    def remove(self, key: str) -> None:
        """Forget a site. Raises ApiProblem while relays, links or platforms are there."""
        self._remove(key)


class Relays(Collection[Relay]):
    """The hosts that forward."""

    def create(
        self,
        *,
        name: str,
        site: str,
        host: str,
        user: str,
        host_key: str,
        port: int | None = None,
        addresses_from: Mapping[str, str] | None = None,
        enabled: bool | None = None,
        risk: float | None = None,
        risk_groups: Sequence[str] | None = None,
        caretaker: str | None = None,
        login: str | None = None,
        also_permitted: Sequence[str] | None = None,
    ) -> Relay:
        """Declare a relay. ``host_key`` is its OpenSSH public key line; ``addresses_from`` maps a site to host:port.

        ``risk`` is points by one's own judgement, ``risk_groups`` words for what it shares its fate with.
        """
        fields = given(name=name, site=site, host=host, user=user, host_key=host_key, port=port)
        fields |= given(addresses_from=addresses_from, enabled=enabled, risk=risk, risk_groups=risk_groups)
        fields |= given(caretaker=caretaker, login=login, also_permitted=also_permitted)
        return self._create(fields)

    def set(
        self,
        key: str,
        *,
        host: str | None = None,
        port: int | None = None,
        user: str | None = None,
        host_key: str | None = None,
        more_host_keys: Sequence[str] | None = None,
        risk: float | None = None,
        risk_groups: Sequence[str] | None = None,
        caretaker: str | None = None,
        login: str | None = None,
        also_permitted: Sequence[str] | None = None,
    ) -> Relay:
        """Change what is named and keep the rest; an empty ``risk_groups`` takes the relay out of all."""
        changes = given(host=host, port=port, user=user, host_key=host_key, risk=risk, risk_groups=risk_groups)
        changes |= given(caretaker=caretaker, login=login, also_permitted=also_permitted)
        changes |= given(more_host_keys=more_host_keys)
        return self._change("PATCH", key, body=changes, if_match=None)

    def set_enabled(self, key: str, *, enabled: bool, if_match: str | None = None) -> Relay:
        """Let new routes use the relay, or keep them away from it."""
        return self._change("PATCH", key, body={"enabled": enabled}, if_match=if_match)

    def account_script(self, site: str, *, account: str | None = None, login: str | None = None) -> RelayAccount:
        """Return the script that makes a host at ``site`` a relay."""
        query = {name: text for name, text in (("account", account), ("login", login)) if text is not None}
        return body_of(
            self._wire.call("GET", f"/v1/sites/{quote(site, safe='')}/relay-script", query=query), self._wire
        )

    def examine(self, key: str, facts: Mapping[str, str] | None = None) -> Diagnosis:
        """Have the gateway examine a relay; ``facts`` are what was read at the host itself."""
        query = {name: text for name, text in (facts or {}).items() if text}
        return body_of(self._wire.call("GET", self._at(key, "diagnosis"), query=query, extra_wait_s=60.0), self._wire)

    def remove(self, key: str) -> None:
        """Forget a relay."""
        self._remove(key)


class OwnSshKey:
    """The key that the gateway shows to relays: one document, no collection."""

    def __init__(self, wire: Wire) -> None:
        """Speak over ``wire``."""
        self._wire = wire

    def get(self) -> SshKey:
        """Return the key in use and how far its change is."""
        return body_of(self._wire.call("GET", "/v1/ssh-key"), self._wire)

    def rotate(self) -> SshKey:
        """Begin to change the key. May be repeated."""
        return body_of(self._wire.call("POST", "/v1/ssh-key/rotate", body={}), self._wire)

    def keep(self) -> SshKey:
        """Keep the key in use and forget the next one."""
        return body_of(self._wire.call("POST", "/v1/ssh-key/keep", body={}), self._wire)


class Links(Collection[Link]):
    """Which sites may dial which."""

    def create(
        self,
        *,
        source: str,
        target: str,
        both_ways: bool | None = None,
        price_usd_per_gb: float | None = None,
        capacity_mbps: float | None = None,
    ) -> Link:
        """Declare that hosts of site ``source`` may dial hosts of site ``target``."""
        fields = given(source=source, target=target, both_ways=both_ways)
        return self._create({**fields, **given(price_usd_per_gb=price_usd_per_gb, capacity_mbps=capacity_mbps)})

    def remove(self, key: str) -> None:
        """Forget a link."""
        self._remove(key)


class LiveWeights:
    """The weights in force, and what platforms want otherwise for the connections that they ask for."""

    def __init__(self, wire: Wire) -> None:
        """Speak over ``wire``."""
        self._wire = wire

    def get(self) -> Weights:
        """Return the weights in force."""
        return body_of(self._wire.call("GET", "/v1/weights"), self._wire)

    def set(self, changes: Mapping[str, float]) -> Weights:
        """Change the named weights and keep the others. Raises ApiProblem (412) when somebody was faster."""
        answer = self._wire.call("GET", "/v1/weights")
        current: Weights = body_of(answer, self._wire)
        body = {name: value for name, value in {**current, **changes}.items() if name != "version"}
        return body_of(self._wire.call("PUT", "/v1/weights", body=body, headers={"If-Match": answer.etag}), self._wire)

    def of_platform(self, key: str) -> Weights:
        """Return the weights that a platform (name or id) wants otherwise; the gateway's hold for the others."""
        wanted: Weights = body_of(self._wire.call("GET", self._at(key)), self._wire)["weights"]
        return wanted

    def set_of_platform(self, key: str, changes: Mapping[str, float]) -> Weights:
        """Change what a platform wants otherwise, keep the rest. Raises ApiProblem (412) when somebody was faster."""
        answer = self._wire.call("GET", self._at(key))
        return self._replace(key, {**body_of(answer, self._wire)["weights"], **changes}, answer.etag)

    def reset_of_platform(self, key: str) -> Weights:
        """Let the gateway's weights hold for what the platform asks for."""
        return self._replace(key, {}, "*")

    def _replace(self, key: str, wanted: Mapping[str, float], if_match: str) -> Weights:
        answer = self._wire.call("PUT", self._at(key), body=wanted, headers={"If-Match": if_match})
        kept: Weights = body_of(answer, self._wire)["weights"]
        return kept

    def _at(self, key: str) -> str:
        return f"/v1/platforms/{quote(key, safe='')}/weights"
