"""Connections, the grants they lead to, and the standing rules that accept them, through the API."""

from collections.abc import Iterator, Mapping

from gateway.client.collection import Collection, body_of, given
from gateway.client.decisions import Decision, RouteDecision
from gateway.client.resources import AccountSession, AnswerLink, Connection, Grant, GrantRule, GrantTerms, Step

# States in which nothing more happens by itself.
SETTLED = frozenset({"established", "failed", "closed"})


class Connections(Collection[Connection]):
    """Requesters reaching targets."""

    def request(
        self,
        *,
        target: str | None = None,
        requester: str | None = None,
        policy: Mapping[str, object] | None = None,
        idempotency_key: str | None = None,
    ) -> Connection:
        """Ask for a connection; it is answered at once and then progresses by itself.

        ``policy`` may hold direct_allowed, relay_limit, candidate_limit, avoid, require, weights, profile
        ("interactive", "bulk") and, for bulk, price_limit_usd_per_gb.
        """
        body = given(target=target, requester=requester, policy=policy)
        return self._create(body, idempotency_key=idempotency_key)

    def routes(self, key: str) -> RouteDecision:
        """Return why the route in use was chosen."""
        return body_of(self._wire.call("GET", self._at(key, "routes")), self._wire)

    def what_if(self, key: str, weights: Mapping[str, float], *, profile: str | None = None) -> RouteDecision:
        """Return the latest decision as it would be by other weights, measured as it was then; changes nothing.

        Raises ApiProblem (409) before the first decision.
        """
        return self._obtain(key, "what-if", body=given(weights=weights, profile=profile))

    def decisions(self, key: str) -> Iterator[Decision]:
        """Yield the route decisions in short, newest first."""
        return Collection[Decision](self._wire, self._at(key, "decisions")).list()

    def sessions(self, key: str) -> Iterator[AccountSession]:
        """Yield the account sessions, oldest first."""
        return Collection[AccountSession](self._wire, self._at(key, "sessions")).list()

    def steps(self, key: str) -> Iterator[Step]:
        """Yield what happened, oldest first."""
        return Collection[Step](self._wire, self._at(key, "steps")).list()

    def consent(self, key: str, *, allow: bool) -> Connection:
        """Decide, as the target's owner, whether another platform may connect."""
        return self._act(key, "consent", body={"decision": "allow" if allow else "refuse"})

    def reroute(self, key: str) -> Connection:
        """Probe and choose again now."""
        return self._act(key, "reroute")

    def close(self, key: str) -> None:
        """Close the connection; its tunnel is taken down after the answer."""
        self._remove(key)


class Grants(Collection[Grant]):
    """What platforms granted."""

    def accept(self, key: str) -> Grant:
        """Accept a grant: it becomes an offer."""
        return self._act(key, "accept")

    def refuse(self, key: str) -> Grant:
        """Refuse a grant."""
        return self._act(key, "refuse")

    def revoke(self, key: str) -> Grant:
        """Take an accepted grant back; its offer is withdrawn."""
        return self._act(key, "revoke")

    def suspend(self, key: str) -> Grant:
        """Hold an accepted grant back; its offer is withdrawn until the same side resumes it."""
        return self._act(key, "suspend")

    def resume(self, key: str) -> Grant:
        """Let go of a grant that the caller's side holds back."""
        return self._act(key, "resume")

    def ask(self, key: str) -> Grant:
        """Ask the owner for a grant that was proposed, denied or has ended."""
        return self._act(key, "ask")

    def answer(self, key: str, decision: str, **terms: object) -> Grant:
        """Say ``grant`` (on these terms) or ``deny``, as the platform's owner; see ``AnswerIn`` in the API."""
        return self._act(key, "answer", body={"decision": decision, **given(**terms)})

    def link(self, key: str, *, expires_after_s: float | None = None) -> AnswerLink:
        """Make a link by which the grant is answered in a browser, once; its path is below the gateway's address."""
        return self._obtain(key, "links", body=given(expires_after_s=expires_after_s))

    def history(self, key: str) -> Iterator[GrantTerms]:
        """Yield every version of the grant's terms, oldest first."""
        return Collection[GrantTerms](self._wire, self._at(key, "history")).list()


class GrantRules(Collection[GrantRule]):
    """Standing rules that accept grants."""

    def create(self, *, platform: str, capability: str) -> GrantRule:
        """Accept from now on what ``platform`` grants for ``capability`` ("*" = any)."""
        return self._create({"platform": platform, "capability": capability})

    def remove(self, key: str) -> None:
        """Stop accepting by this rule; what it accepted stays."""
        self._remove(key)
