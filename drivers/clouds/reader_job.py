"""An account as a reader of long lists is told of it."""

from typing import Any

from catalog.clouds import CloudAccount
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint
from catalog.secrets import Secret


def account_of(told: dict[str, Any]) -> CloudAccount:
    """Return the account that ``told_of`` wrote down."""
    endpoint, *services = map(_endpoint_of, told["endpoints"])
    return CloudAccount(
        platform=PlatformId(told["platform"]),
        provider=told["provider"],
        region=told["region"],
        endpoint=endpoint,
        services=tuple(services),
        account=told["account"],
        secret=Secret(told["secret"]),
        options=told["options"],
    )


def told_of(account: CloudAccount) -> dict[str, Any]:
    """Return ``account`` as the job says it, its secret in the clear: it goes to our own child and nowhere else."""
    return {
        "platform": account.platform,
        "provider": account.provider,
        "region": account.region,
        "endpoints": [_told_of(endpoint) for endpoint in (account.endpoint, *account.services)],
        "account": account.account,
        "secret": account.secret.reveal(),
        "options": dict(account.options),
    }


def _endpoint_of(told: dict[str, Any]) -> ApprovedEndpoint:
    return ApprovedEndpoint(url=told["url"], dial=Address(**told["dial"]), ca_pem=told["ca_pem"])


def _told_of(endpoint: ApprovedEndpoint) -> dict[str, Any]:
    dial = {"host": endpoint.dial.host, "port": endpoint.dial.port}
    return {"url": endpoint.url, "dial": dial, "ca_pem": endpoint.ca_pem}
