"""Ask a gateway for what the picture shows, and draw it."""

from collections.abc import Sequence
from itertools import islice

from gateway.cli.output import note
from gateway.cli.picture.journey import Journey
from gateway.cli.picture.page import picture
from gateway.client import Client
from gateway.client.resources import Connection

# More would be lines over lines; who wants to see another connection names it.
JOURNEY_LIMIT = 6
# The newest; a chart that is a thousand pixels wide shows no more.
DECISION_LIMIT = 400
# As many lines as a map can hold.
LINK_LIMIT = 5000


def gathered(client: Client, connections: Sequence[str]) -> str:
    """Return the picture of the network with these connections; if none is named, with the first established ones.

    Raises ClientError, such as for a connection that there is not.
    """
    told = client.known_network(limit=LINK_LIMIT)
    if told["links_alive"] + told["links_dead"] > LINK_LIMIT:
        note(f"only the first {LINK_LIMIT} links are drawn")
    return picture(told, [_journey(client, each) for each in _wanted(client, connections)])


def _wanted(client: Client, ids: Sequence[str]) -> list[Connection]:
    if ids:
        return [client.connections.get(each) for each in ids]
    found = list(islice(client.connections.list(state="established"), JOURNEY_LIMIT + 1))
    if len(found) > JOURNEY_LIMIT:
        note(f"only the first {JOURNEY_LIMIT} connections are drawn; name others with --connection")
    return found[:JOURNEY_LIMIT]


def _journey(client: Client, connection: Connection) -> Journey:
    newest = tuple(islice(client.connections.decisions(connection["id"]), DECISION_LIMIT))
    return Journey(
        title=f"{connection['requester']} to {connection['target']}",
        target=connection["target"],
        route=connection["route"],
        decisions=newest[::-1],
    )
