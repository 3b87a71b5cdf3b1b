"""The identity provider as the settings describe it; reads the file with the secret."""

from pathlib import Path

from catalog.external import RoleRule
from catalog.model.access import Role
from catalog.secrets import Sealer
from gateway.errors import InvalidSettings
from gateway.logins.doors import Oidc
from gateway.logins.oidc import IdentityProvider, OidcPolicy
from gateway.secret_files import read_secret
from gateway.sections import OidcSettings

_IN_PROJECT = {"owner", "member", "viewer"}


def oidc_of(settings: OidcSettings, state_dir: Path, sealer: Sealer) -> Oidc | None:
    """Return the identity provider, None when no issuer is set. Raises InvalidSettings naming the setting."""
    if not settings.issuer:
        return None
    for name in ("client_id", "redirect_uri"):
        if not getattr(settings, name):
            raise InvalidSettings(f"oidc.{name} is missing", field=f"oidc.{name}", fix="as registered at the provider")
    rules = []
    for number, rule in enumerate(settings.roles):
        if (rule.role in _IN_PROJECT) != bool(rule.project):
            field = f"oidc.roles[{number}].project"
            fix = "owner, member and viewer name a project, the others none"
            raise InvalidSettings(f"{field} does not go with role {rule.role}", field=field, fix=fix)
        rules.append(RoleRule(value=rule.value, role=Role(rule.role), project=rule.project))
    policy = OidcPolicy(
        issuer=settings.issuer,
        client_id=settings.client_id,
        client_secret=read_secret(state_dir / settings.client_secret_file, field="oidc.client_secret_file"),
        redirect_uri=settings.redirect_uri,
    )
    return Oidc(
        provider=IdentityProvider(policy, sealer),
        issuer=settings.issuer,
        role_claim=settings.role_claim,
        rules=tuple(rules),
    )
