"""Enrolment, endpoints, the credential, and what a driver gets of a platform."""

from pathlib import Path

import pytest

from catalog import access, connections, enrolments, network, platforms
from catalog.errors import AlreadyExists, Denied, InvalidValue, NotFound, Stale, WrongState
from catalog.model.access import Enrolment, Role, Token
from catalog.model.ids import PlatformId
from catalog.model.network import Site
from catalog.model.platform import Endpoint, EndpointState, Platform, Purpose, SealedCredential
from catalog.platforms import Named
from catalog.ports import Address
from catalog.secrets import Secret
from catalog.store import rows
from catalog.store.database import Tx
from catalog.token_text import digest
from tests.support.authority import Authority
from tests.support.stores import CANARY, Store, add_platform, enrolment_request

APPROVED = [
    {
        "purpose": "api",
        "url": "https://API.example.org:8443/v3/",
        "dial": "10.0.0.5:8443",
        "dials_from": {"fra": "10.9.0.5:8443"},
    },
    {"purpose": "connector", "url": "http://connector.example.org", "dial": "10.0.0.6:80"},
]


@pytest.fixture
def token(store: Store) -> str:
    """Return an enrolment token for "mumbai" at site "bom"; the URLs of ``APPROVED`` are approved."""

    def work(tx: Tx) -> str:
        network.add_site(tx, name="bom", now_s=1.0)
        return enrolments.create_enrolment(tx, platform_name="mumbai", endpoints=APPROVED, now_s=store.now_s)[1]

    return store.write(work)


def enrol(store: Store, token: str, **changes: object) -> tuple[Platform, str]:
    """Enrol with a valid request and ``changes``."""
    request = enrolment_request(**{"connector_url": "http://connector.example.org", **changes})
    return store.write(
        lambda tx: platforms.enrol(
            tx,
            token_text=token,
            request=request,
            sealer=store.sealer,
            known_providers=("ec2", "simulated"),
            now_s=store.now_s,
        )
    )


def endpoint(store: Store, platform: Platform, purpose: Purpose) -> Endpoint:
    """Return the platform's endpoint for ``purpose``."""
    found = store.read(lambda tx: platforms.endpoints(tx, platform.id))
    return next(each for each in found if each.purpose is purpose)


def test_a_platform_enrols_and_gets_a_token_of_its_own(store: Store, token: str) -> None:
    """The token speaks for the platform; approved URLs have the admin's dial address; the driver gets it all."""
    platform, text = enrol(store, token, region="ap-south-1", options={"project": "demo"})
    principal = store.read(lambda tx: access.authenticate(tx, text, store.now_s))
    assert principal is not None
    assert (principal.role, principal.subject_id) == (Role.PLATFORM, platform.id)
    account = store.read(lambda tx: platforms.cloud_account(tx, platform.id, store.sealer))
    assert account.secret.reveal() == CANARY
    assert (account.endpoint.url, account.endpoint.dial) == (
        "https://api.example.org:8443/v3",
        Address(host="10.0.0.5", port=8443),
    )
    assert (account.provider, account.region, account.options) == ("simulated", "ap-south-1", {"project": "demo"})
    assert endpoint(store, platform, Purpose.API).dials_from == {"fra": "10.9.0.5:8443"}
    connector = store.read(lambda tx: platforms.connector_endpoint(tx, platform.id))
    assert connector is not None
    assert connector.url == "http://connector.example.org"


@pytest.mark.usefixtures("token")
def test_services_elsewhere_are_reached_as_an_admin_approved_them(store: Store) -> None:
    """A service that an admin approved is the driver's to reach, at the admin's address; one that none did is not."""
    nova = {"purpose": "compute", "url": "http://api.example.org:8774", "dial": "10.0.0.5:8774"}
    _, token = store.write(
        lambda tx: enrolments.create_enrolment(
            tx, platform_name="mumbai", endpoints=[*APPROVED, nova], now_s=store.now_s
        )
    )
    services = {
        Purpose.COMPUTE: Named(url="http://api.example.org:8774/"),
        Purpose.IMAGE: Named(url="https://api.example.org:9292"),
    }
    platform, _ = enrol(store, token, services=services)
    account = store.read(lambda tx: platforms.cloud_account(tx, platform.id, store.sealer))
    (compute,) = account.services
    assert (compute.url, compute.dial) == ("http://api.example.org:8774", Address(host="10.0.0.5", port=8774))
    assert endpoint(store, platform, Purpose.IMAGE).state is EndpointState.PROPOSED
    dial = Address(host="10.0.0.5", port=9292)
    store.write(lambda tx: platforms.approve_endpoint(tx, platform.id, Purpose.IMAGE, dial=dial, now_s=store.now_s))
    account = store.read(lambda tx: platforms.cloud_account(tx, platform.id, store.sealer))
    assert [each.dial.port for each in account.services] == [8774, 9292]


def test_an_api_is_not_named_as_a_service(store: Store, token: str) -> None:
    """Only services are; the API and the connector have places of their own."""
    with pytest.raises(InvalidValue) as refused:
        enrol(store, token, services={Purpose.CONNECTOR: Named(url="https://elsewhere.example.org")})
    assert refused.value.field == "services"


def test_the_secret_is_nowhere_in_the_files_and_in_no_repr(store: Store, token: str) -> None:
    """After enrolment no byte of the database, its log or any printed row holds the credential."""
    platform, _ = enrol(store, token)
    account = store.read(lambda tx: platforms.cloud_account(tx, platform.id, store.sealer))
    held = store.read(lambda tx: rows.where(tx, SealedCredential))
    assert CANARY not in repr((platform, account, held, enrolment_request()))
    assert CANARY.encode() not in store.at_rest()


def test_a_token_enrols_one_platform(store: Store, token: str) -> None:
    """The second use of a token is denied, whatever it asks for."""
    enrol(store, token)
    with pytest.raises(Denied, match="not valid"):
        enrol(store, token)


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"name": "delhi"}, Denied, "name"),
        ({"provider": "unheard-of"}, InvalidValue, "provider"),
        ({"site": "nowhere"}, InvalidValue, "site"),
        ({"account": "a\nb"}, InvalidValue, "account"),
        ({"account": ""}, InvalidValue, "account"),
        ({"region": "\x1b[31m"}, InvalidValue, "region"),
        ({"secret": Secret("")}, InvalidValue, "secret"),
        ({"secret": Secret("a\0b")}, InvalidValue, "secret"),
        ({"secret": Secret("x" * 16_385)}, InvalidValue, "secret"),
        ({"public_key": ""}, InvalidValue, "public_key"),
        ({"public_key": "AAAA"}, InvalidValue, "public_key"),
        ({"public_key": "not base64"}, InvalidValue, "public_key"),
        ({"options": {"k": "\0"}}, InvalidValue, "options.k"),
        ({"options": {str(number): "x" for number in range(33)}}, InvalidValue, "options"),
        ({"api_url": "http://api.example.org:8443/v3"}, InvalidValue, "api.url"),
        ({"api_url": "http://connector.example.org"}, InvalidValue, "api.url"),
        ({"api_url": "https://user:word@api.example.org"}, InvalidValue, "api.url"),
        ({"api_url": "https://127.1/"}, InvalidValue, "api.url"),
        ({"api_url": "https://0x7f.1/"}, InvalidValue, "api.url"),
        ({"api_url": "https://①②⑦.⓪.⓪.①/"}, InvalidValue, "api.url"),
        ({"api_url": "https://api.example.org./"}, InvalidValue, "api.url"),
        ({"connector_url": "http://other.example.org"}, InvalidValue, "connector.url"),
        ({"api_ca_pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, InvalidValue, "api.ca_pem"),
    ],
)
def test_a_refused_enrolment_names_the_field_and_leaves_the_token_unused(
    store: Store, token: str, changes: dict[str, object], error: type[Exception], field: str
) -> None:
    """Nothing of a refused enrolment is stored, and the same token still enrols the platform properly."""
    with pytest.raises(error) as refused:
        enrol(store, token, **changes)
    assert getattr(refused.value, "field", None) == field
    assert CANARY not in str(refused.value)
    for kind in (Platform, Endpoint, SealedCredential, Token):
        assert store.read(lambda tx, kind=kind: rows.where(tx, kind)) == []
    enrol(store, token)


def test_a_duplicate_name_leaves_the_token_unused(store: Store, token: str) -> None:
    """When another platform took the name meanwhile the enrolment is refused and its token stays as it was."""
    other = store.write(
        lambda tx: enrolments.create_enrolment(tx, platform_name="mumbai", endpoints=APPROVED, now_s=store.now_s)
    )
    enrol(store, other[1])
    with pytest.raises(AlreadyExists) as refused:
        enrol(store, token)
    assert refused.value.field == "name"
    unused = [each for each in store.read(lambda tx: rows.where(tx, Enrolment)) if each.used_at_s is None]
    assert [each.digest for each in unused] == [digest(token)]


def test_a_url_that_nobody_approved_is_not_dialled(store: Store, token: str) -> None:
    """Another URL than the approved one is PROPOSED without address: no driver gets it until an admin approves."""
    platform, _ = enrol(store, token, api_url="https://evil.example.org")
    proposed = endpoint(store, platform, Purpose.API)
    assert (proposed.state, proposed.dial_host, proposed.dial_port) == (EndpointState.PROPOSED, "", 0)
    with pytest.raises(WrongState, match="no admin approved"):
        store.read(lambda tx: platforms.cloud_account(tx, platform.id, store.sealer))
    dial = Address(host="10.0.0.9", port=443)
    store.write(lambda tx: platforms.approve_endpoint(tx, "mumbai", Purpose.API, dial=dial, now_s=store.now_s))
    account = store.read(lambda tx: platforms.cloud_account(tx, platform.id, store.sealer))
    assert (account.endpoint.url, account.endpoint.dial) == ("https://evil.example.org", dial)


@pytest.mark.parametrize("host", ["127.1", "a b", "example.org.", ""])
def test_an_admin_cannot_approve_an_odd_address(store: Store, host: str) -> None:
    """Dial addresses pass the same grammar when they are approved later."""
    add_platform(store)
    dial = Address(host=host, port=443)
    with pytest.raises(InvalidValue):
        store.write(lambda tx: platforms.approve_endpoint(tx, "mumbai", Purpose.API, dial=dial, now_s=1.0))


def test_approving_what_is_not_there_is_not_found(store: Store, token: str) -> None:
    """A platform without a connector has no such endpoint to approve."""
    enrol(store, token, connector_url=None, public_key="")
    dial = Address(host="10.0.0.9", port=443)
    with pytest.raises(NotFound):
        store.write(lambda tx: platforms.approve_endpoint(tx, "mumbai", Purpose.CONNECTOR, dial=dial, now_s=1.0))
    assert (
        store.read(lambda tx: platforms.connector_endpoint(tx, rows.by_name_or_id(tx, Platform, "mumbai").id)) is None
    )


def test_the_admins_authority_replaces_the_platforms(store: Store, tmp_path: Path) -> None:
    """When the enrolment holds a CA, the one that the platform brings is not trusted beside it."""
    mine, theirs = Authority(tmp_path).pem, Authority(tmp_path).pem

    def work(tx: Tx) -> str:
        network.add_site(tx, name="bom", now_s=1.0)
        endpoints = [{**APPROVED[0], "ca_pem": mine}, APPROVED[1]]
        return enrolments.create_enrolment(tx, platform_name="mumbai", endpoints=endpoints, now_s=store.now_s)[1]

    platform, _ = enrol(store, store.write(work), api_ca_pem=theirs, connector_ca_pem=theirs)
    assert endpoint(store, platform, Purpose.API).ca_pem == mine
    assert endpoint(store, platform, Purpose.CONNECTOR).ca_pem == theirs


def test_a_replaced_secret_leaves_nothing_of_the_old_one(store: Store) -> None:
    """The driver gets the new secret, there is one credential row, and the platform's version moved on."""
    platform = add_platform(store)
    changed = store.write(
        lambda tx: platforms.replace_secret(tx, platform.id, Secret("new"), store.sealer, store.now_s)
    )
    account = store.read(lambda tx: platforms.cloud_account(tx, platform.id, store.sealer))
    assert account.secret.reveal() == "new"
    assert len(store.read(lambda tx: rows.where(tx, SealedCredential))) == 1
    assert changed.version == platform.version + 1


def test_a_credential_pasted_to_another_platform_does_not_open(store: Store) -> None:
    """Swapping the sealed bytes of two platforms in the database gives neither of them anything."""
    one, two = add_platform(store, "mumbai"), add_platform(store, "delhi", secret=Secret("other"))

    def swap(tx: Tx) -> None:
        first, second = (rows.where(tx, SealedCredential, platform_id=each.id)[0] for each in (one, two))
        kept = second.sealed
        rows.update(tx, second, {"sealed": first.sealed}, 1.0)
        rows.update(tx, first, {"sealed": kept}, 1.0)

    store.write(swap)
    for platform in (one, two):
        with pytest.raises(Exception, match="cannot be opened") as refused:
            store.read(lambda tx, held=platform: platforms.cloud_account(tx, held.id, store.sealer))
        assert type(refused.value).__name__ == "SealBroken"


def test_after_a_rotation_every_credential_is_under_the_new_key(store: Store) -> None:
    """Resealing moves both credentials, a second time none, and the old key may go."""
    held = [add_platform(store, "mumbai"), add_platform(store, "delhi")]
    store.keys.keys["k2"] = b"2" * 32
    assert store.write(lambda tx: platforms.reseal_all(tx, store.sealer, 1.0)) == 2
    assert store.write(lambda tx: platforms.reseal_all(tx, store.sealer, 1.0)) == 0
    del store.keys.keys["k1"]
    for platform in held:
        account = store.read(lambda tx, kept=platform: platforms.cloud_account(tx, kept.id, store.sealer))
        assert account.secret.reveal() == CANARY
    assert {each.key_id for each in store.read(lambda tx: rows.where(tx, SealedCredential))} == {"k2"}


def test_a_retired_platform_is_history_only(store: Store, token: str) -> None:
    """Retiring waits for open connections, then deletes the credential, revokes the token and disables the platform."""
    platform, text = enrol(store, token)
    asked = store.write(
        lambda tx: connections.request(tx, requester=platform.id, target=platform.id, policy={}, now_s=1.0)
    )
    with pytest.raises(WrongState, match="open connections"):
        store.write(lambda tx: platforms.retire(tx, platform.id, store.now_s))
    store.write(lambda tx: connections.move(tx, asked.id, connections.ConnectionEvent.CLOSE, 2.0))
    with pytest.raises(Stale):
        store.write(lambda tx: platforms.retire(tx, platform.id, store.now_s, platform.version + 7))
    retired = store.write(lambda tx: platforms.retire(tx, platform.id, store.now_s, platform.version))
    assert not retired.enabled
    assert store.read(lambda tx: access.authenticate(tx, text, store.now_s)) is None
    assert store.read(lambda tx: rows.where(tx, SealedCredential)) == []
    with pytest.raises(WrongState, match="disabled"):
        store.read(lambda tx: platforms.cloud_account(tx, platform.id, store.sealer))


def test_a_platform_that_is_not_there_has_no_account(store: Store) -> None:
    """An unknown id is NotFound; a site keeps its platforms from being orphaned."""
    with pytest.raises(NotFound):
        store.read(lambda tx: platforms.cloud_account(tx, PlatformId("platform_x"), store.sealer))
    add_platform(store)
    with pytest.raises(WrongState, match="still in use"):
        store.write(lambda tx: rows.delete(tx, rows.by_name_or_id(tx, Site, "bom")))
