"""One-time permissions for a platform to enrol, with the endpoints that an admin approved for it."""

from collections.abc import Mapping, Sequence

from catalog import addresses, naming
from catalog.errors import Denied, InvalidValue
from catalog.expiry import is_over
from catalog.model.access import Enrolment
from catalog.model.ids import TokenId, new_id
from catalog.model.platform import Platform, Purpose
from catalog.store import principals, rows
from catalog.store.database import Tx
from catalog.token_text import digest, new_text, positive

ENROLMENT_TTL_S = 24 * 3600.0


def create_enrolment(
    tx: Tx,
    *,
    platform_name: str,
    endpoints: Sequence[Mapping[str, object]],
    ttl_s: float | None = None,
    now_s: float,
) -> tuple[Enrolment, str]:
    """Return a permission for one platform to enrol once, and its text.

    Each of ``endpoints`` is {"purpose", "url", "dial", "dials_from"?, "ca_pem"?}; what stands here is approved, an
    ``http`` URL included. Raises InvalidValue naming the field, AlreadyExists when the platform's name is taken.
    """
    naming.name(platform_name, field="platform_name")
    naming.refuse_taken(tx, Platform, platform_name, field="platform_name")
    approved = [_approved(index, endpoint) for index, endpoint in enumerate(endpoints)]
    if len({endpoint["purpose"] for endpoint in approved}) < len(approved):
        raise InvalidValue("each purpose may be approved once", field="endpoints", fix="one 'api', one 'connector', …")
    text = new_text("enrol")
    enrolment = Enrolment(
        id=TokenId(new_id("enrolment", now_s)),
        digest=digest(text),
        platform_name=platform_name,
        endpoints=approved,
        expires_at_s=now_s + positive(ENROLMENT_TTL_S if ttl_s is None else ttl_s),
    )
    return rows.insert(tx, enrolment, now_s), text


def use_enrolment(tx: Tx, text: str, now_s: float) -> Enrolment:
    """Return the enrolment of ``text`` and use it up, in the transaction of what it is used for.

    Raises Denied when it is unknown, expired or used, without saying which.
    """
    enrolment = rows.first(tx, Enrolment, digest=digest(text))
    if enrolment is None or is_over(enrolment.expires_at_s, now_s) or not principals.use_up(tx, enrolment, now_s):
        raise Denied("the enrolment token is not valid", fix="ask an admin of the gateway for a new one")
    return enrolment


def _approved(index: int, endpoint: Mapping[str, object]) -> dict[str, object]:
    field = f"endpoints[{index}]"
    if endpoint.get("purpose") not in set(Purpose):
        raise InvalidValue(
            "an endpoint is for 'api', 'connector' or a service", field=f"{field}.purpose", fix=", ".join(Purpose)
        )
    ca_pem = endpoint.get("ca_pem")
    return {
        "purpose": str(endpoint["purpose"]),
        "url": addresses.url(str(endpoint.get("url", "")), field=f"{field}.url"),
        "dial": str(addresses.address(str(endpoint.get("dial", "")), field=f"{field}.dial")),
        "dials_from": naming.by_site(endpoint.get("dials_from") or {}, field=f"{field}.dials_from"),
        "ca_pem": None if ca_pem is None else addresses.authority(str(ca_pem), field=f"{field}.ca_pem"),
    }
