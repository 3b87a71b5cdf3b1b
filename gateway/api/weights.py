"""The weights by which routes are ranked; changing them is felt at the next review of every connection."""

from catalog import network
from catalog.model.order import WeightSet
from catalog.store.database import Tx
from gateway.api.bodies import Body, Nothing, Out, Weight
from gateway.api.endpoints import Call, Routes
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


def _in_force(tx: Tx, call: Call[Nothing] | Call[WeightsIn]) -> WeightSet:
    # Version 0 stands for the settings: the first change has something to be based on, too.
    return network.weights(tx) or WeightSet(
        name=network.GATEWAY_WEIGHTS, values=dict(call.services.default_weights), version=0
    )


def _out(row: WeightSet) -> WeightsOut:
    return WeightsOut(version=row.version, **{name: row.values.get(name, 0.0) for name in WeightsIn.model_fields})
