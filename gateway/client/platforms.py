"""Platforms and their enrolment through the API.

Secrets go into a request body and nowhere else: no method here logs, and no error carries a body.
"""

from collections.abc import Iterator, Mapping, Sequence

from gateway.client.collection import Collection, body_of, given
from gateway.client.people import Enrolment
from gateway.client.resources import CloudMachine, Platform, Right
from gateway.client.wire import Wire


class Enrolments:
    """One-time permissions to enrol a platform."""

    def __init__(self, wire: Wire) -> None:
        """Speak over ``wire``."""
        self._wire = wire

    def create(
        self, *, platform_name: str, endpoints: Sequence[Mapping[str, object]], ttl_s: float | None = None
    ) -> Enrolment:
        """Approve ``endpoints`` ({purpose, url, dial, dials_from?, ca_pem?}) for a platform yet to enrol.

        The answer holds the token text, once.
        """
        body = given(platform_name=platform_name, endpoints=list(endpoints), ttl_s=ttl_s)
        return body_of(self._wire.call("POST", "/v1/enrolments", body=body), self._wire)


class Platforms(Collection[Platform]):
    """The clouds that take part."""

    def enrol(
        self,
        *,
        enrolment_token: str,
        name: str,
        provider: str,
        site: str,
        account: str,
        secret: str,
        api: Mapping[str, object],
        connector: Mapping[str, object] | None = None,
        services: Mapping[str, Mapping[str, object]] | None = None,
        region: str | None = None,
        public_key: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Platform:
        """Enrol a platform with its one-time token. ``api`` and ``connector`` are {url, ca_pem?}.

        ``services`` holds the same by kind, for services that do not live under the host and port of ``api``.

        The answer holds the platform's own token, once.
        """
        body = given(name=name, provider=provider, site=site, account=account, secret=secret, api=api)
        body |= given(connector=connector, services=services, region=region, public_key=public_key, options=options)
        headers = {"Authorization": f"Bearer {enrolment_token}"}
        return body_of(self._wire.call("POST", self._path, body=body, headers=headers), self._wire)

    def approve_endpoint(
        self, key: str, *, purpose: str, dial: str, dials_from: Mapping[str, str] | None = None
    ) -> Platform:
        """Approve where to dial (host:port) for the URL that the owner proposed."""
        return self._act(key, "endpoints", purpose, "approve", body=given(dial=dial, dials_from=dials_from))

    def set_secret(self, key: str, secret: str, *, if_match: str | None = None) -> Platform:
        """Replace the account's secret."""
        return self._change("PUT", key, "secret", body={"secret": secret}, if_match=if_match)

    def rights(self, key: str) -> Iterator[Right]:
        """Yield what the platform's account can do, as it was last proved, by capability."""
        return Collection[Right](self._wire, self._at(key, "rights")).list()

    def machines(self, key: str) -> Iterator[CloudMachine]:
        """Yield the machines at the platform, ours and others', as its cloud listed them last."""
        return Collection[CloudMachine](self._wire, self._at(key, "machines")).list()

    def remove(self, key: str) -> None:
        """Retire a platform: its sealed credential is deleted, its tokens are revoked, it stays listed."""
        self._remove(key)
