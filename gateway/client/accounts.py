"""Accounts, their roles and tokens through the API. Secrets go into a request body and nowhere else."""

from collections.abc import Sequence

from gateway.client.collection import Collection, body_of, given
from gateway.client.people import Account, Membership, NewSession, Session, Token


class Accounts(Collection[Account]):
    """People and programs; ``me`` is the caller's own."""

    def create(self, *, kind: str, name: str, project: str | None = None, gateway_role: str | None = None) -> Account:
        """Make an account: kind user or service."""
        return self._create(given(kind=kind, name=name, project=project, gateway_role=gateway_role))

    def change(self, key: str, *, enabled: bool | None = None, gateway_role: str | None = None) -> Account:
        """Disable or enable it, or change its role for the whole gateway."""
        return self._change("PATCH", key, body=given(enabled=enabled, gateway_role=gateway_role), if_match=None)

    def set_password(self, key: str, password: str, *, present: str | None = None) -> None:
        """Set a user's password; whose own it is proves the ``present`` one. Other sessions of the user end."""
        self._wire.call(
            "PUT", self._at(key, "password"), body=given(password=password, present=present), headers={"If-Match": "*"}
        )


class Sessions(Collection[Session]):
    """Who is logged in."""

    def begin(self, *, name: str, password: str) -> NewSession:
        """Log in; the answer holds the session's text, once."""
        answer = self._wire.call("POST", self._path, body={"name": name, "password": password})
        return body_of(answer, self._wire)

    def end(self, key: str = "current") -> None:
        """End a session, at once."""
        self._remove(key)


class Memberships(Collection[Membership]):
    """Who has which role where."""

    def create(
        self, *, account: str, role: str, project: str | None = None, organisation: str | None = None
    ) -> Membership:
        """Give an account a role in a project, or make it owner of an organisation."""
        return self._create(given(account=account, role=role, project=project, organisation=organisation))

    def remove(self, key: str) -> None:
        """Take the role, at once; anybody may give up the own."""
        self._remove(key)


class Tokens(Collection[Token]):
    """Bearer tokens; their text is shown once."""

    def create(
        self,
        *,
        name: str,
        role: str | None = None,
        account: str | None = None,
        project: str | None = None,
        platform: str | None = None,
        scopes: Sequence[str] | None = None,
        ttl_s: float | None = None,
    ) -> Token:
        """Issue a token; the answer holds its text, once.

        Without a role it acts for ``account`` (None: the caller's own). The roles owner, member and viewer need
        ``project``, role platform ``platform``.
        """
        body = given(name=name, role=role, account=account, project=project, platform=platform, ttl_s=ttl_s)
        return self._create(body | given(scopes=None if scopes is None else list(scopes)))

    def revoke(self, key: str) -> None:
        """Make a token useless at once."""
        self._remove(key)
