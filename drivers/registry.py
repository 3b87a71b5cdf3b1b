"""The cloud providers Crossway knows, and how to make a driver of one.

Importing this module costs nothing: libcloud is imported when the first driver is built.
"""

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final
from urllib.parse import urlsplit

from catalog.cloud_assets import AssetKind
from catalog.clouds import AccountOf, CloudAccount, CloudDriver
from catalog.errors import InvalidValue
from catalog.messages.handshake import OF_THE_OWNER, Capability
from catalog.ports import Carrier, Clock, Dialer, NativePassage, PassageTerms
from catalog.prices.ports import PublishedPriceLists, PublishedPrices
from catalog.providers import Provider, Standing
from drivers.clouds.libcloud_facts import ACCEPTED, REFUSED, LibcloudFacts
from drivers.clouds.policy import CallPolicy

OF_CLOUDS: Final = tuple(kind for kind in Capability if kind not in OF_THE_OWNER)

# Object storage, names and balancers are services of their own, which not every cloud has.
OF_COMPUTE: Final = tuple(
    kind for kind in OF_CLOUDS if kind not in {Capability.CONTAINER, Capability.ZONE, Capability.BALANCER}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFacts:
    """What to know about one provider. ``options`` maps each permitted account option to what it means.

    ``regions`` returns the regions there are; None: any text, or none unless ``needs_region``.
    """

    name: str
    title: str
    needed: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    regions: Callable[[], Collection[str]] | None = None
    needs_region: bool = False
    takes_path: bool = False  # the API may live under a path
    exercised: str  # how far its driver was really tried
    standing: Standing = Standing.SERVER
    creates: bool = True  # machines can be made there, and found again
    note: str = ""  # what else to know before enrolling one
    capabilities: tuple[Capability, ...] = OF_CLOUDS
    contract_only: frozenset[Capability] = frozenset()  # less tried than the rest
    assets: Mapping[AssetKind, Standing] = field(default_factory=dict)  # what else can be made there, and found again
    factory: tuple[str, str]  # module and class


def _ec2_regions() -> Collection[str]:
    regions: Collection[str] = import_module("libcloud.compute.drivers.ec2").VALID_EC2_REGIONS
    return regions


def _libcloud_facts(name: str, known: LibcloudFacts) -> ProviderFacts:
    at = f"; its API is at https://{known.host}" if known.host else ""
    capabilities = known.capabilities
    if known.maker is None:
        how = "contract only: built, and one list asked for through the routed dial"
        # No machines are made there, so nobody is asked to grant them.
        capabilities = tuple(kind for kind in known.capabilities if kind is not Capability.MACHINE)
    else:
        how = "against an emulated server, written from its documentation, by the contract suite"
    return ProviderFacts(
        name=name,
        title=known.title,
        needed=tuple(known.options),
        options=known.options,
        exercised=how + at,
        standing=Standing.CONTRACT if known.maker is None else Standing.EMULATED,
        creates=known.maker is not None,
        note=known.note or f"lists only: {known.lists_only}",
        capabilities=capabilities,
        factory=known.maker or ("drivers.clouds.any_libcloud", "LibcloudCloud"),
    )


_OWN: Final[Mapping[str, ProviderFacts]] = {
    facts.name: facts
    for facts in (
        ProviderFacts(
            name="ec2",
            title="Amazon EC2, or what speaks its API",
            options={
                "image_owner": "whose images are listed: an account id, amazon or self (default)",
                "image_ids": "comma-separated image ids to list, when not all of the owner's",
                "image_names": "comma-separated image name patterns to list, * and ? allowed",
                "sizes": "comma-separated size names to list, when not all of the region's",
            },
            regions=_ec2_regions,
            exercised="against real API servers (moto: EC2, S3, Route 53, ELB) over TLS, by the contract suites",
            assets=dict.fromkeys(AssetKind, Standing.SERVER),
            factory=("drivers.clouds.ec2", "Ec2Cloud"),
        ),
        ProviderFacts(
            name="openstack",
            title="OpenStack with Keystone v3",
            needed=("project",),
            options={"project": "the project's name", "domain": "the domain's name (default: Default)"},
            needs_region=True,
            takes_path=True,
            exercised="against a whole OpenStack (Debian's: keystone, glance, nova, neutron), by make test-openstack",
            capabilities=tuple(kind for kind in OF_COMPUTE if kind is not Capability.LOCATION),
            contract_only=frozenset({Capability.VOLUME, Capability.NETWORK}),
            assets={AssetKind.VOLUME: Standing.CONTRACT, AssetKind.SNAPSHOT: Standing.CONTRACT},
            factory=("drivers.clouds.openstack", "OpenStackCloud"),
        ),
        ProviderFacts(
            name="simulated",
            title="the simulated private cloud of the demo",
            exercised="against the simulated cloud's own process, by the contract suite",
            capabilities=OF_COMPUTE,
            factory=("drivers.clouds.simulated", "SimulatedCloud"),
        ),
    )
}
PROVIDERS: Final[Mapping[str, ProviderFacts]] = {
    **{name: _libcloud_facts(name, known) for name, known in ACCEPTED.items()},
    **_OWN,
}
# Whose own API a passage can lead into: module and what makes it.
PASSAGES: Final[Mapping[str, tuple[str, str]]] = {
    "ec2": ("drivers.passages.ec2", "ec2_passage"),
    "openstack": ("drivers.passages.openstack", "openstack_passage"),
}


def providers() -> tuple[str, ...]:
    """Return the names of the known providers, sorted."""
    return tuple(sorted(PROVIDERS))


def known_providers() -> tuple[Provider, ...]:
    """Return what is known of every provider, those included that are refused, by name."""
    accepted = [
        Provider(
            name=known.name,
            title=known.title,
            standing=known.standing,
            how=known.exercised,
            creates=known.creates,
            note=known.note,
            capabilities={
                kind.value: Standing.CONTRACT if kind in known.contract_only else known.standing
                for kind in known.capabilities
            },
            assets={kind.value: standing for kind, standing in known.assets.items()},
            options=known.options,
            needs=known.needed,
        )
        for known in PROVIDERS.values()
    ]
    refused = [
        Provider(name=name, title=title, standing=Standing.REFUSED, how=why) for name, (title, why) in REFUSED.items()
    ]
    return tuple(sorted((*accepted, *refused), key=lambda provider: provider.name))


def facts(provider: str) -> ProviderFacts:
    """Return what is known about ``provider``. Raises InvalidValue, naming the known ones, when nothing is."""
    try:
        return PROVIDERS[provider]
    except KeyError:
        raise InvalidValue(
            "there is no such cloud provider", field="provider", fix="one of " + ", ".join(providers())
        ) from None


def check(provider: str, region: str, options: Mapping[str, str]) -> None:
    """Raise InvalidValue, naming ``provider``, ``region`` or ``options.…`` and what is right, for what cannot be.

    Sends nothing. The first EC2 region that is checked imports libcloud, a third of a second.
    """
    known = facts(provider)
    _check_options(options, known)
    _check_region(region, known)


def build(account: CloudAccount, dialer: Dialer, policy: CallPolicy | None = None) -> CloudDriver:
    """Return a driver for ``account`` that reaches its cloud by ``dialer`` alone; nothing is sent yet.

    Build one per platform and keep it: its threads bound what a dead platform can hold up. Raises InvalidValue for
    what cannot be, CertificateRefused when the endpoint's authority is no certificate.
    """
    known = facts(account.provider)
    check(account.provider, account.region, account.options)
    _check_url(account.endpoint.url, takes_path=known.takes_path)
    module, name = known.factory
    driver: CloudDriver = getattr(import_module(module), name)(account, dialer, policy or CallPolicy())
    return driver


def native_passage(
    provider: str, terms: PassageTerms, account: AccountOf, carrier: Carrier, clock: Clock
) -> NativePassage:
    """Return the passage into ``provider``'s own API; nothing is sent. Raises InvalidValue when it has none to pass."""
    known = PASSAGES.get(provider)
    if known is None:
        fix = "a platform of " + " or ".join(sorted(PASSAGES))
        raise InvalidValue(f"{provider} has no API of its own to pass into", field="platform", fix=fix)
    passage: NativePassage = getattr(import_module(known[0]), known[1])(terms, account, carrier, clock)
    return passage


def published_prices(provider: str, region: str) -> PublishedPrices:
    """Return the price list that comes with the drivers. Raises NotFound when there is none."""
    reader: PublishedPriceLists = import_module("drivers.clouds.published_prices").published_prices
    return reader(provider, region)


def _check_region(region: str, known: ProviderFacts) -> None:
    if known.regions is not None and region not in (there := sorted(known.regions())):
        near = difflib.get_close_matches(region, there, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        fix = f"{meant}one of {', '.join(there)}"
        raise InvalidValue("the provider has no such region", field="region", fix=fix)
    if known.needs_region and not region:
        raise InvalidValue("the provider needs a region", field="region", fix="the region's name in its catalog")


def _check_options(options: Mapping[str, str], known: ProviderFacts) -> None:
    for option in options:
        # Driver options could name local files or other addresses, so only the listed ones pass.
        if option not in known.options:
            allowed = ", ".join(known.options) or "none"
            raise InvalidValue(
                "the provider has no such option", field=f"options.{option[:64]}", fix=f"allowed: {allowed}"
            )
    for option in known.needed:
        if not options.get(option):
            raise InvalidValue("the provider needs this option", field=f"options.{option}", fix=known.options[option])


def _check_url(url: str, *, takes_path: bool) -> None:
    try:
        parts = urlsplit(url)
        port_is_right = parts.port != 0
    except ValueError:
        parts, port_is_right = urlsplit(""), False
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    plain = plain and (takes_path or not parts.path.strip("/"))
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_right or not plain:
        raise InvalidValue(
            "the endpoint is not the URL of an API", field="endpoint", fix="https://NAME or https://NAME:PORT"
        )
