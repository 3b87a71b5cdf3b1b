"""What an EC2 account may do to machines that are there, proved by dry runs at one that we made.

Without one nothing is proved: rights may hold for marked machines alone, and a machine that is not there is refused or
not found whoever asks.
"""

from collections.abc import Mapping
from typing import Any, Final

from libcloud.common.exceptions import BaseHTTPError

from drivers.clouds import ec2_pages
from drivers.clouds.routed_http import current_call
from drivers.provisioner.journal import TAG_MACHINE

_DENIED: Final = 403
_ACTIONS: Final[Mapping[str, str]] = {
    "start": "StartInstances",
    "stop": "StopInstances",
    "reboot": "RebootInstances",
    "destroy": "TerminateInstances",
}
_OURS: Final[Mapping[str, str]] = {
    "Action": "DescribeInstances",
    "MaxResults": "5",
    "Filter.1.Name": "tag-key",
    "Filter.1.Value.1": TAG_MACHINE,
    "Filter.2.Name": "instance-state-name",
    "Filter.2.Value.1": "running",
    "Filter.2.Value.2": "stopped",
}


def lacking(connection: Any) -> dict[str, str]:
    """Return the verbs that the account lacks, each with the dry run that was refused and the cloud's id of it.

    Only a refusal for want of the right counts; whatever else is wrong with an action says nothing of the right.
    """
    found = {}
    machine = _one_of_ours(connection)
    for verb, action in _ACTIONS.items() if machine else ():
        if _refused(connection, {"Action": action, "DryRun": "true", "InstanceId.1": machine}):
            found[verb] = f"DryRun {action}: HTTP {_DENIED} {current_call().request_id}".rstrip()
    return found


def _one_of_ours(connection: Any) -> str:
    """Return the id of a machine that we made, "" when there is none or we may not look."""
    try:
        reservations = ec2_pages.inside(connection.page(_OURS), "reservationSet")
    except BaseHTTPError as error:
        if error.code != _DENIED:
            raise
        return ""
    machines = (each for some in reservations for each in ec2_pages.inside(some, "instancesSet"))
    return next((ec2_pages.text(each, "instanceId") for each in machines), "")


def _refused(connection: Any, params: Mapping[str, str]) -> bool:
    try:
        connection.page(params)
    except BaseHTTPError as error:
        return bool(error.code == _DENIED)
    return False
