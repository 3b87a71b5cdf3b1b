"""Amazon's services beside EC2: S3, Route 53 and Elastic Load Balancing, each at its own approved endpoint.

An account has a service when an admin approved an endpoint of its name (``s3.…``, ``route53.…``,
``elasticloadbalancing.…``). Signed with version 4 throughout: what libcloud's Route 53 sends is signed as Amazon once
had it, and reads answers of an API of 2012, so that it is asked here in its own words.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from libcloud.common.aws import AWSGenericResponse, SignedAWSConnection
from libcloud.common.base import BaseDriver
from libcloud.common.exceptions import BaseHTTPError
from libcloud.loadbalancer.drivers.elb import ElasticLBDriver
from libcloud.storage.drivers.s3 import S3StorageDriver

from catalog.clouds import CloudAccount
from catalog.endpoints import Target
from catalog.errors import CloudUnavailable
from catalog.messages.handshake import Capability

# By which first label of its host an endpoint is known as that of a service.
SERVICES: Final = {
    Capability.CONTAINER: "s3",
    Capability.ZONE: "route53",
    Capability.BALANCER: "elasticloadbalancing",
}
ROUTE53_VERSION: Final = "2013-04-01"
# Route 53 and ELB say with HTTP 400 that they are asked too often, or are still busy with the call before.
_BUSY: Final = ("Throttling", "PriorRequestNotComplete", "RequestThrottled", "RequestLimitExceeded", "TooManyRequests")
_GLOBAL_REGION: Final = "us-east-1"  # where what has no region is signed for


class Route53Response(AWSGenericResponse):
    """An answer of Route 53, errors among them."""

    namespace: Any = f"https://route53.amazonaws.com/doc/{ROUTE53_VERSION}/"
    xpath: Any = "Error"
    exceptions: dict[str, type[Exception]] = {}  # noqa: RUF012 - libcloud's own declaration


class Route53Connection(SignedAWSConnection):
    """A connection that signs as Route 53 wants it by now."""

    version = ROUTE53_VERSION
    service_name = "route53"
    responseCls = Route53Response  # noqa: N815 - libcloud's name

    def add_default_params(self, params: Any) -> Any:
        """Add none: the version stands in the path."""
        return params


class Route53(BaseDriver):
    """Route 53, as far as a connection to it goes."""

    name = "Route 53"
    connectionCls = Route53Connection  # noqa: N815 - libcloud's name
    region_name = _GLOBAL_REGION

    def _ex_connection_class_kwargs(self) -> dict[str, Any]:
        return {"signature_version": "4"}


class Balancers(ElasticLBDriver):
    """libcloud's driver, which takes neither host nor port."""

    def __init__(self, account: CloudAccount, target: Target) -> None:
        self.token = None
        self.region = self.region_name = account.region
        parent: Any = BaseDriver.__init__
        parent(
            self,
            account.account,
            account.secret.reveal(),
            secure=target.scheme == "https",
            host=target.host,
            port=target.port,
            region=account.region,
        )


def target_of(account: CloudAccount, capability: Capability) -> Target | None:
    """Return where the account's service of ``capability`` is approved to be; None when it is nowhere."""
    label = SERVICES[capability]
    targets = [Target.of(endpoint.url) for endpoint in (account.endpoint, *account.services)]
    return next((target for target in targets if target.host.split(".")[0] == label), None)


@contextmanager
def patience() -> Iterator[None]:
    """Turn an answer that means "later" into CloudUnavailable, whatever its HTTP status."""
    try:
        yield
    except BaseHTTPError as error:
        if not str(error.message).startswith(_BUSY):
            raise
        raise CloudUnavailable("the cloud cannot serve the call now: it is asked too often") from None


def service(account: CloudAccount, capability: Capability, target: Target) -> Any:
    """Return a new libcloud driver of the service, for one call."""
    if capability is Capability.BALANCER:
        return Balancers(account, target)
    at = {"secure": target.scheme == "https", "host": target.host, "port": target.port}
    if capability is Capability.ZONE:
        new: Any = Route53
        return new(account.account, account.secret.reveal(), **at)
    new = S3StorageDriver
    driver = new(account.account, account.secret.reveal(), region=account.region, **at)
    # Without it a bucket is asked for in the first region, and any other endpoint refuses that.
    driver.ex_location_name = "" if account.region == _GLOBAL_REGION else account.region
    return driver
