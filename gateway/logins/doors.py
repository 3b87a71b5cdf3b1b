"""What lets people in, put together: one value for the API, made from the settings."""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.external import RoleRule
from catalog.logins import LoginPolicy
from gateway.logins.oidc import IdentityProvider
from gateway.logins.passwords import PasswordPolicy, Passwords
from gateway.logins.throttle import Throttle


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """An identity provider, and what its word counts for here."""

    provider: IdentityProvider
    issuer: str
    role_claim: str
    rules: Sequence[RoleRule]


class Doors:
    """Passwords, how often they may be tried, and how long a session lasts."""

    def __init__(
        self,
        passwords: PasswordPolicy = PasswordPolicy(),  # noqa: B008  frozen values
        logins: LoginPolicy = LoginPolicy(),  # noqa: B008
        oidc: Oidc | None = None,
    ) -> None:
        """Make them; no thread begins before the first password."""
        self.passwords = Passwords(passwords)
        self.throttle = Throttle()
        self.logins = logins
        self.oidc = oidc

    def close(self) -> None:
        """Give back what was taken."""
        self.passwords.close()
