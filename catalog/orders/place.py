"""Accept a tenant's order and serve it at once where a pool can (S2, S4): one transaction, nothing asked of a cloud."""

from sqlmodel import Session

from catalog import naming
from catalog.allowance import network_for
from catalog.approvals.asking import ask
from catalog.connections import record_step
from catalog.errors import WrongState
from catalog.leases.rules import lease_for
from catalog.machines import cloud_name
from catalog.model.ids import OrderId, ProjectId, new_id
from catalog.model.offering import OfferState
from catalog.model.order import Order
from catalog.orders.admission import admitted, price_now
from catalog.orders.choose import inventory_item, machine_offer
from catalog.orders.fulfil import fulfil
from catalog.orders.policy import RetryPolicy
from catalog.orders.steps import UNWATCHED
from catalog.ports import Checkpoint
from catalog.store import rows


def place(
    tx: Session,
    *,
    project_id: ProjectId,
    offer: str,
    size: str,
    image: str,
    name: str | None,
    location: str | None = None,
    key_pair: str | None = None,
    network: str | None = None,
    lease_s: float | None = None,
    by: str = "",
    proof: str = "",
    now_s: float,
    policy: RetryPolicy | None = None,
    checkpoint: Checkpoint = UNWATCHED,
) -> Order:
    """Return the accepted order: FULFILLED from a pool, CREATING with its message in the outbox, or AWAITING_APPROVAL.

    ``offer``, ``size``, ``image``, ``location``, ``key_pair`` and ``network`` are ids or names; the last three are the
    cloud's choice when None, but for a network where the grant has one alone. The machine is lent for ``lease_s``, or
    as long as rules say. ``by`` is who orders, a principal's key, and ``proof`` the token. Raises InvalidValue naming
    the field, WrongState when the offer takes no orders, Denied when the platform does not (any longer) grant it, or
    not such a machine, QuotaExceeded when a quota of the project or its organisation is used up, or when no idle
    machine fits and the grant admits no further one, BudgetExceeded when it costs too much. Whatever is raised, the
    caller's transaction must roll back.
    """
    if name is not None:
        naming.host_name(name)
    chosen = machine_offer(tx, offer)
    if chosen.state is not OfferState.OFFERED:
        raise WrongState(f"the offer takes no orders, it is {chosen.state.value}: {chosen.reason}", field="offer")
    order_id = OrderId(new_id("order", now_s))
    wanted = inventory_item(tx, chosen, "size", size)
    order = Order(
        id=order_id,
        project_id=project_id,
        offer_id=chosen.id,
        name=name or cloud_name(order_id),
        size=wanted.cloud_id,
        image=inventory_item(tx, chosen, "image", image).cloud_id,
        location=None if location is None else inventory_item(tx, chosen, "location", location).cloud_id,
        # Clouds know a key pair by its name alone; its id in the inventory is that name without its spaces.
        key_pair=None if key_pair is None else inventory_item(tx, chosen, "key-pair", key_pair).name,
        network=None if network is None else inventory_item(tx, chosen, "network", network).cloud_id,
        lease_s=lease_for(tx, project_id, lease_s),
        price=price_now(tx, chosen.platform_id, wanted.cloud_id, now_s),
        ordered_by=by,
        ordered_with=proof,
    )
    grant = admitted(tx, order, chosen.platform_id, now_s)
    order.network = network_for(tx, grant, order.network)
    rows.insert(tx, order, now_s)
    record_step(tx, order.id, "order.placed", "done", now_s)
    checkpoint.reached("order.placed")
    if ask(tx, order, chosen, now_s):
        return order
    return fulfil(
        tx, order, offer=chosen, grant=grant, now_s=now_s, policy=policy or RetryPolicy(), checkpoint=checkpoint
    )
