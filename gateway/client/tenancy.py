"""Organisations and their projects through the API."""

from gateway.client.collection import Collection
from gateway.client.people import Organisation, Project


class Organisations(Collection[Organisation]):
    """Who owns projects."""

    def create(self, *, name: str) -> Organisation:
        """Declare an organisation."""
        return self._create({"name": name})


class Projects(Collection[Project]):
    """Where people browse and order; each is called by its id or ``ORGANISATION/PROJECT``."""

    def create(self, *, organisation: str, name: str) -> Project:
        """Declare a project in the organisation with this name or id."""
        return self._create({"organisation": organisation, "name": name})
