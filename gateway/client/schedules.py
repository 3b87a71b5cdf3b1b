"""Start and stop schedules through the API."""

from collections.abc import Sequence
from typing import TypedDict
from urllib.parse import quote

from gateway.client.collection import Collection, body_of
from gateway.client.resources import Resource


class Window(TypedDict):
    """Time in which machines run, on each of ``days`` ("mon" to "sun"), by the clock ("08:00")."""

    days: list[str]
    start: str
    stop: str


class Schedule(Resource):
    """The windows of a machine, or of a project for those of its machines that have none (``machine`` None)."""

    project: str
    machine: str | None
    zone: str
    windows: list[Window]
    next_at: str | None
    next_runs: bool | None


class Schedules(Collection[Schedule]):
    """Those of projects are called by their project, those of machines by the machine's id."""

    def set(self, project: str, *, zone: str, windows: Sequence[Window]) -> Schedule:
        """Let a project's machines keep to ``windows``, but for those with a schedule of their own."""
        return self._change("PUT", project, body={"zone": zone, "windows": list(windows)}, if_match="*")

    def remove(self, project: str) -> None:
        """Remove a project's schedule."""
        self._remove(project)

    def of_machine(self, machine: str) -> Schedule:
        """Return what the machine keeps to: its own, or its project's."""
        return body_of(self._wire.call("GET", _path(machine)), self._wire)

    def set_for_machine(self, machine: str, *, zone: str, windows: Sequence[Window]) -> Schedule:
        """Let one machine keep to ``windows``; none of them: it is left alone."""
        body = {"zone": zone, "windows": list(windows)}
        return body_of(self._wire.call("PUT", _path(machine), body=body, headers={"If-Match": "*"}), self._wire)

    def remove_from_machine(self, machine: str) -> None:
        """Remove a machine's own schedule; its project's counts again."""
        self._wire.call("DELETE", _path(machine), headers={"If-Match": "*"})


def _path(machine: str) -> str:
    return f"/v1/machines/{quote(machine, safe='')}/schedule"
