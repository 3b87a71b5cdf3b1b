"""For neutron-server: binds every port at once. There is no network behind it, and no agent to wait for."""

# ruff: noqa: ANN001
# Runs in Debian's Python, beside neutron.

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class InstantPorts(api.MechanismDriver):
    """An ML2 mechanism driver."""

    def initialize(self) -> None:
        """Need nothing."""

    def bind_port(self, context) -> None:
        """Bind to the first segment."""
        first = next(iter(context.segments_to_bind), None)
        if first is not None:
            details = {portbindings.CAP_PORT_FILTER: True}
            context.set_binding(first[api.ID], portbindings.VIF_TYPE_OVS, details, status=constants.PORT_STATUS_ACTIVE)
