"""The API application's means: the one value through which endpoints reach the rest of the process."""

from catalog.cloud_assets import CloudAssets
from catalog.clouds import MachineAction
from catalog.messages.handshake import public_text
from catalog.model.ids import PlatformId
from catalog.ports import MessageQueue
from catalog.search.index import SearchIndex
from catalog.secrets import Sealer
from catalog.store.database import Database
from drivers import registry
from gateway.api.proxies import Proxies
from gateway.api.services import ApiServices
from gateway.background.noting import Noted
from gateway.background.runner import Runner
from gateway.compose import policies
from gateway.compose.adapters import Adapters
from gateway.compose.connections import Connections
from gateway.compose.keys import Keys
from gateway.connections.explanation import reranked
from gateway.connections.passing import Passing
from gateway.connections.streams import Streams
from gateway.relays.service import RelayService
from gateway.settings import Settings


def api_services(
    settings: Settings,
    adapters: Adapters,
    keys: Keys,
    database: Database,
    *,
    parts: Connections,
    relays: RelayService,
    runner: Runner,
    noted: Noted,
    search: SearchIndex,
    queue: MessageQueue,
) -> ApiServices:
    """Return what endpoints are given; whatever they reach beyond the database is in here."""

    async def act(platform: PlatformId, cloud_id: str, action: MachineAction) -> None:
        driver = await parts.clouds.driver(platform)
        await driver.act(cloud_id, action)

    async def assets_of(platform: PlatformId) -> CloudAssets:
        return (await parts.clouds.driver(platform)).assets

    return ApiServices(
        database=database,
        clock=adapters.clock,
        sealer=Sealer(keys.sealing),
        known_providers=adapters.providers,
        providers=registry.known_providers(),
        wake=runner.wake,
        background_status=runner.status,
        machine_action=act,
        assets_of=assets_of,
        machine_changes=parts.clouds.driver,
        check_account=adapters.check_account,
        queue=queue,
        gateway_site=settings.gateway.site,
        default_weights=settings.routing.weights.model_dump(),
        retry_policy=policies.retry_policy(settings),
        checkpoint=adapters.checkpoint,
        gateway_info={"name": settings.gateway.name, "gateway_key": public_text(keys.signing.public_key())},
        doors=policies.doors(settings, Sealer(keys.sealing)),
        proxies=Proxies.named(settings.api.trusted_proxies),
        limits=policies.api_limits(settings),
        relays=relays,
        sign=keys.signing.sign,
        webhooks=policies.webhook_policy(settings),
        metrics=parts.metrics,
        last_used=noted.uses,
        refusals=noted.refusals,
        search=search,
        network_status=parts.watch.document,
        network_links=parts.watch.links,
        what_if=reranked,
        published_prices=adapters.published_prices,
        open_stream=Streams(database, adapters.clock, parts.live, parts.passages).opened,
        passing=Passing(
            database=database,
            clock=adapters.clock,
            sealer=Sealer(keys.sealing),
            carrier=parts.carrier,
            passages=parts.passages,
            open_native=adapters.open_native,
            policy=policies.passing_policy(settings),
            rates=parts.clouds.rates,
        ),
    )
