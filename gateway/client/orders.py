"""The catalog, orders, pools and machines through the API."""

from collections.abc import Iterator, Mapping

from gateway.client.collection import Collection, body_of, given
from gateway.client.ordered import Console, Entry, Explanation, Machine, Offer, Order, Placement, Pool
from gateway.client.resources import Step

# A gateway waits so long for a cloud before it answers (api.services.ApiLimits.action_s).
CLOUD_WAIT_S = 60.0
# Every order ends in one of these.
ENDED = frozenset({"fulfilled", "failed", "cancelled"})


class Entries(Collection[Entry]):
    """The services of the catalog."""


class Offers(Collection[Offer]):
    """Entries at platforms: what can be ordered."""

    def label(self, key: str, labels: Mapping[str, str]) -> Offer:
        """Give an offer these labels and no others (admins only)."""
        return self._change("PUT", key, "labels", body={"labels": dict(labels)}, if_match="*")


class Orders(Collection[Order]):
    """A project's orders; an admin sees everybody's."""

    def create(
        self,
        *,
        offer: str | None = None,
        size: str | None = None,
        image: str | None = None,
        needs: Mapping[str, object] | None = None,
        location: str | None = None,
        key_pair: str | None = None,
        network: str | None = None,
        lease_s: float | None = None,
        name: str | None = None,
        idempotency_key: str | None = None,
    ) -> Order:
        """Order a machine: of ``offer``, ``size`` and ``image``, or what meets ``needs`` best.

        Repeating the call with the same ``idempotency_key`` orders it once.
        """
        wanted = given(
            offer=offer, size=size, image=image, needs=needs, location=location, key_pair=key_pair, name=name
        )
        wanted |= given(lease_s=lease_s, network=network)
        return self._create(wanted, idempotency_key=idempotency_key)

    def steps(self, key: str) -> Iterator[Step]:
        """Yield what happened, oldest first."""
        return Collection[Step](self._wire, self._at(key, "steps")).list()

    def placement(self, key: str) -> Placement:
        """Return why an order by needs went where it did. Raises ApiProblem with status 404 for any other."""
        return body_of(self._wire.call("GET", self._at(key, "placement")), self._wire)

    def explanation(self, key: str) -> Explanation:
        """Return how an order is served, and what it waits for."""
        return body_of(self._wire.call("GET", self._at(key, "explanation")), self._wire)

    def cancel(self, key: str) -> Order:
        """Cancel an order that has not ended."""
        return self._act(key, "cancel")


class Pools(Collection[Pool]):
    """Machines kept ready."""

    def create(self, *, name: str, offer: str, size: str, image: str, **terms: object) -> Pool:
        """Keep machines of one offer, size and image ready, on these ``terms``: those of the API by their names.

        Such as ``idle_target``; what is left out or None is the gateway's to choose.
        """
        return self._create({"name": name, "offer": offer, "size": size, "image": image, **given(**terms)})

    def set(self, key: str, **terms: object) -> Pool:
        """Change the ``terms`` that are named and keep the rest; None takes a limit off."""
        return self._change("PATCH", key, body=terms, if_match=None)

    def remove(self, key: str) -> None:
        """Stop keeping machines ready; the idle ones are destroyed."""
        self._remove(key)


class Machines(Collection[Machine]):
    """VMs at platforms."""

    def import_existing(self, *, platform: str, machine: str, project: str, custody: str | None = None) -> Machine:
        """Import a machine that the platform had before, to be ``observed`` (None: that) or ``managed``."""
        return self._create(given(platform=platform, machine=machine, project=project, custody=custody))

    def entrust(self, key: str, custody: str) -> Machine:
        """Let an imported machine be ``managed`` or only ``observed``."""
        return self._act(key, "custody", body={"custody": custody})

    def release(self, key: str) -> Machine:
        """Forget an imported machine and leave it as it is."""
        return self._act(key, "release")

    def act(self, key: str, action: str) -> Machine:
        """Ask for ``start``, ``stop``, ``reboot``, ``destroy`` or ``give-back``.

        The first three are done by the cloud before the answer; the machine's state tells of the others.
        """
        return self._act(key, "actions", body={"action": action}, extra_wait_s=CLOUD_WAIT_S)

    def rebuild(self, key: str, image: str | None = None) -> Machine:
        """Have a machine's disk made anew from ``image`` (None: the one it has); what is on it is lost."""
        return self._act(key, "rebuild", body=given(image=image), extra_wait_s=CLOUD_WAIT_S)

    def resize(self, key: str, size: str) -> Machine:
        """Give a machine another size; it has it when this returns."""
        return self._act(key, "resize", body={"size": size}, extra_wait_s=CLOUD_WAIT_S)

    def rename(self, key: str, name: str) -> Machine:
        """Call a machine otherwise."""
        return self._act(key, "rename", body={"name": name}, extra_wait_s=CLOUD_WAIT_S)

    def console(self, key: str) -> Console:
        """Return what a machine wrote to its console."""
        return body_of(self._wire.call("GET", self._at(key, "console"), extra_wait_s=CLOUD_WAIT_S), self._wire)

    def extend(self, key: str, lease_s: float | None, *, may_give_end: bool = False) -> Machine:
        """Let the lease end ``lease_s`` from now; None: as late as is allowed.

        A machine without an end is refused, unless it ``may_give_end``.
        """
        return self._act(key, "extend", body={"lease_s": lease_s, "may_give_end": may_give_end})
