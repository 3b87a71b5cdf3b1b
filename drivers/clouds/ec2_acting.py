"""What an EC2 account may do to machines that are there, proved by dry runs at one that we made.

Without one nothing is proved: rights may hold for marked machines alone, and a machine that is not there is refused or
not found whoever asks.

What speaks EC2's API need not know dry runs, and would do what it is asked. So the machine is one that runs, and the
first try is to start it, which changes nothing; the others follow from the least harmful to the worst, and none after
an answer that is not a dry run's.
"""

from collections.abc import Mapping
from typing import Any, Final

from libcloud.common.exceptions import BaseHTTPError

from catalog.messages.contracts import TAG_MACHINE
from drivers.clouds import ec2_pages
from drivers.clouds.routed_http import current_call

_ALLOWED, _DENIED = 412, 403
# In this order: each is tried only where all before it were answered as dry runs are.
_ACTIONS: Final[Mapping[str, str]] = {
    "start": "StartInstances",
    "reboot": "RebootInstances",
    "stop": "StopInstances",
    "destroy": "TerminateInstances",
}
_OURS: Final[Mapping[str, str]] = {
    "Action": "DescribeInstances",
    "MaxResults": "5",
    "Filter.1.Name": "tag-key",
    "Filter.1.Value.1": TAG_MACHINE,
    "Filter.2.Name": "instance-state-name",
    "Filter.2.Value.1": "running",
}


def lacking(connection: Any) -> dict[str, str]:
    """Return the verbs that the account lacks, each with the dry run that was refused and the cloud's id of it.

    Only a refusal for want of the right counts; whatever else is wrong with an action says nothing of the right.
    """
    found: dict[str, str] = {}
    machine = _one_of_ours(connection)
    knows_dry_runs = False
    for verb, action in _ACTIONS.items() if machine else ():
        answered = _tried(connection, {"Action": action, "DryRun": "true", "InstanceId.1": machine})
        if answered == _DENIED:
            found[verb] = f"DryRun {action}: HTTP {_DENIED} {current_call().request_id}".rstrip()
        elif answered != _ALLOWED:
            break
        # Who lacks the first right is refused by any server, so that this alone says nothing of the next.
        knows_dry_runs = knows_dry_runs or answered == _ALLOWED or _looks_are_dry(connection)
        if not knows_dry_runs:
            break
    return found


def _looks_are_dry(connection: Any) -> bool:
    """Return whether a look that is a dry run is answered as one."""
    return _tried(connection, {**_OURS, "DryRun": "true"}) == _ALLOWED


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


def _tried(connection: Any, params: Mapping[str, str]) -> int:
    """Return the HTTP status of the refusal, 0 when it was carried out."""
    try:
        connection.page(params)
    except BaseHTTPError as error:
        return int(error.code)
    return 0
