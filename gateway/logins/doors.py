"""What lets people in, put together: one value for the API, made from the settings."""

from catalog.logins import LoginPolicy
from gateway.logins.passwords import PasswordPolicy, Passwords
from gateway.logins.throttle import Throttle


class Doors:
    """Passwords, how often they may be tried, and how long a session lasts."""

    def __init__(
        self,
        passwords: PasswordPolicy = PasswordPolicy(),  # noqa: B008  frozen values
        logins: LoginPolicy = LoginPolicy(),  # noqa: B008
    ) -> None:
        """Make them; no thread begins before the first password."""
        self.passwords = Passwords(passwords)
        self.throttle = Throttle()
        self.logins = logins

    def close(self) -> None:
        """Give back what was taken."""
        self.passwords.close()
