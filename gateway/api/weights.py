"""The weights by which routes are ranked; changing them is felt at the next review of every connection.

The gateway's hold for everybody. A platform may want some of them otherwise for the connections that it asks for, and
a single connection again for itself: the nearest word counts.
"""

from catalog import network
from catalog.model.order import WeightSet
from catalog.model.platform import Platform
from catalog.store.database import Tx
from gateway.api.bodies import Body, Nothing, Out, Weight, absent
from gateway.api.endpoints import Call, Routes
from gateway.api.platforms import own_platform
from gateway.api.services import Wakes

routes = Routes("weights")


class WeightsIn(Body):
    """All weights; 1.0 under ``delay`` means that a millisecond of delay costs a millisecond."""

    delay: Weight
    loss: Weight
    jitter: Weight
    hops: Weight
    price: Weight
    risk: Weight


class WeightsOut(Out):
    """The weights in force."""

    version: int
    delay: float
    loss: float
    jitter: float
    hops: float
    price: float
    risk: float

    def tag(self) -> str:
        """Return the ETag without its quotes."""
        return str(self.version)


class WeightChangesIn(Body):
    """Weights that differ from those that would hold otherwise; what is left out does not."""

    delay: Weight = absent()
    loss: Weight = absent()
    jitter: Weight = absent()
    hops: Weight = absent()
    price: Weight = absent()
    risk: Weight = absent()


class PlatformWeightsOut(Out):
    """The weights that a platform wants otherwise than the gateway has them."""

    version: int
    weights: dict[str, float]

    def tag(self) -> str:
        """Return the ETag without its quotes."""
        return str(self.version)


@routes.plain("GET", "/v1/weights", permission="weights:read", answer=WeightsOut, summary="Show the route weights")
def get_weights(tx: Tx, call: Call[Nothing]) -> WeightsOut:
    """Return the weights in force: the settings' until an admin changed them."""
    return _out(_in_force(tx, call))


@routes.endpoint(
    "PUT",
    "/v1/weights",
    permission="weights:write",
    body=WeightsIn,
    answer=WeightsOut,
    wakes=(Wakes.CONNECTIONS,),
    summary="Change the route weights",
)
def replace_weights(tx: Tx, call: Call[WeightsIn]) -> WeightsOut:
    """Return the new weights."""
    call.precondition.check(_in_force(tx, call))
    return _out(network.set_weights(tx, dict(call.body), call.now_s))


@routes.plain(
    "GET",
    "/v1/platforms/{ref}/weights",
    permission="platform:read",
    answer=PlatformWeightsOut,
    summary="Show which route weights a platform wants otherwise than the gateway has them",
)
def get_platform_weights(tx: Tx, call: Call[Nothing]) -> PlatformWeightsOut:
    """Return what differs: nothing until somebody changed it."""
    return _platform_out(_wanted(tx, own_platform(tx, call)))


@routes.endpoint(
    "PUT",
    "/v1/platforms/{ref}/weights",
    permission="platform:write",
    body=WeightChangesIn,
    answer=PlatformWeightsOut,
    wakes=(Wakes.CONNECTIONS,),
    summary="Say which route weights hold for the connections that this platform asks for",
)
def replace_platform_weights(tx: Tx, call: Call[WeightChangesIn]) -> PlatformWeightsOut:
    """Return what differs now; an empty body takes all back."""
    platform = own_platform(tx, call)
    call.precondition.check(_wanted(tx, platform))
    changes = call.body.model_dump(exclude_unset=True)
    return _platform_out(network.set_weights(tx, changes, call.now_s, owner=platform.id))


def _in_force(tx: Tx, call: Call[Nothing] | Call[WeightsIn]) -> WeightSet:
    # Version 0 stands for the settings: the first change has something to be based on, too.
    return network.weights(tx) or WeightSet(
        name=network.GATEWAY_WEIGHTS, values=dict(call.services.default_weights), version=0
    )


def _wanted(tx: Tx, platform: Platform) -> WeightSet:
    return network.weights(tx, platform.id) or WeightSet(name=platform.id, values={}, version=0)


def _out(row: WeightSet) -> WeightsOut:
    return WeightsOut(version=row.version, **{name: row.values.get(name, 0.0) for name in WeightsIn.model_fields})


def _platform_out(row: WeightSet) -> PlatformWeightsOut:
    return PlatformWeightsOut(version=row.version, weights=row.values)
