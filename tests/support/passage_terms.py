"""A passage's terms and a carrier in memory, for the native passages of every provider."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from catalog.clouds import CloudAccount
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint, HttpAnswer, HttpCall, PassageTerms
from catalog.secrets import Secret
from drivers.passages.answers import one_piece

TERMS = PassageTerms(
    passage="passage_01J00000000000000000000000",
    address="http://gateway.example:8780/passages/passage_01J00000000000000000000000",
    secret=Secret("the-passage-s-own-secret"),
    region="eu-central-1",
    expires_at_s=1_800_003_600.0,
)
CLOUD_SECRET = "canary-of-the-cloud"
Answering = Callable[[HttpCall], HttpAnswer]


def nothing(_call: HttpCall) -> HttpAnswer:
    """Answer 200 with nothing."""
    return one_piece(200, "text/xml", b"")


def cloud_account(provider: str, url: str, **options: str) -> CloudAccount:
    """Return the account of a platform whose API is at ``url``."""
    return CloudAccount(
        platform=PlatformId("platform_test"),
        provider=provider,
        region=TERMS.region,
        endpoint=ApprovedEndpoint(url=url, dial=Address(host="10.0.0.5", port=443)),
        account="primary",
        secret=Secret(CLOUD_SECRET),
        options=options,
    )


def always(account: CloudAccount) -> Callable[[], Awaitable[CloudAccount]]:
    """Return what hands out ``account``."""

    async def get() -> CloudAccount:
        return account

    return get


@dataclass
class MemoryCarrier:
    """catalog.ports.Carrier that answers by a function, and keeps what was sent."""

    answering: Answering = nothing
    sent: list[HttpCall] = field(default_factory=list)

    @asynccontextmanager
    async def send(self, platform: PlatformId, endpoint: ApprovedEndpoint, call: HttpCall) -> AsyncIterator[HttpAnswer]:
        """Return what ``answering`` says."""
        assert platform
        assert call.url.startswith(endpoint.url)
        self.sent.append(replace(call))
        yield self.answering(call)


async def read(answer: HttpAnswer) -> bytes:
    """Return the whole body."""
    return b"".join([piece async for piece in answer.body])
