"""``crossway weights``: what the terms of a route's cost are worth, for all or for what one platform asks for."""

from typing import Annotated

import typer

from gateway.cli.door import Door, remote
from gateway.cli.pairs import numbers_of

weights = typer.Typer(help="What delay, loss, jitter, hops, price and risk are worth.")

ForPlatform = Annotated[
    str | None, typer.Option("--platform", metavar="NAME", help="For the connections that this platform asks for.")
]


@remote(weights, "show")
def show_weights(door: Door, *, platform: ForPlatform = None) -> None:
    """Show the weights in force, or those that a platform wants otherwise."""
    of = door.client.weights
    door.show(of.get() if platform is None else of.of_platform(platform))


@remote(weights, "set")
def set_weights(
    door: Door,
    *,
    weight: Annotated[list[str], typer.Argument(metavar="NAME=NUMBER...", help="Such as loss=2 hops=5.")],
    platform: ForPlatform = None,
) -> None:
    """Change the named weights and keep the others."""
    changes, of = numbers_of(weight, "weight"), door.client.weights
    door.show(of.set(changes) if platform is None else of.set_of_platform(platform, changes))


@remote(weights, "reset")
def reset_weights(
    door: Door, *, platform: Annotated[str, typer.Option("--platform", metavar="NAME", help="Whose to forget.")]
) -> None:
    """Let the gateway's weights hold again for what a platform asks for."""
    door.show(door.client.weights.reset_of_platform(platform))
