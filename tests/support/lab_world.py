"""The small world in the WAN lab: gateway, relays and platform are hosts of their own, joined by links that can be cut.

Relay alpha is the nearer one, beta little farther: near enough that a connection stays where it is once it has moved.
No link leads past the relays. Needs root.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from catalog.messages.signing_key import load_or_create_key
from gateway.bootstrap import prepare_state_dir
from gateway.relays.ssh_keys import SSH_KEY_FILE
from tests.support.clouds import RunningCloud, moto_cloud
from tests.support.lab import Lab
from tests.support.small_world import PLATFORM, SmallWorld, start_connector
from tests.support.sshd import Sshd, free_port

GATEWAY = "gateway"
ONE_WAY_MS = {"alpha": 5.0, "beta": 6.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabWorld:
    """The world and the lab it lives in; the calling thread is in the gateway's host."""

    lab: Lab
    world: SmallWorld

    def kill(self, relay: str) -> None:
        """End every process of the relay's sshd by SIGKILL, the listening one included."""
        self.world.relays[relay].stop()

    def restart(self, relay: str) -> None:
        """Start the relay's sshd again, with the host key and on the port that it had."""
        with self.lab.enter(relay):
            self.world.relays[relay].start()

    @contextmanager
    def cloud_held(self) -> Iterator[None]:
        """Keep the cloud from answering during the block: what is asked by then is under way until after it."""
        pid = self.world.cloud.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def lab_world(
    folder: Path,
    *,
    policy: str,
    services: tuple[str, ...],
    settings: str = "",
    running: Callable[..., AbstractContextManager[RunningCloud]] = moto_cloud,
) -> Iterator[LabWorld]:
    """Run relays, a cloud (EC2, or what ``running`` runs) and its connector; ``world.start_gateway`` starts ours."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(seed=1))
        lab.build(
            {(near, far): delay_ms for relay, delay_ms in ONE_WAY_MS.items() for near, far in _beside(relay)}
            | {("alpha", "beta"): max(ONE_WAY_MS.values())}
        )
        state_dir = folder / "gateway"
        prepare_state_dir(state_dir)
        ssh_key = load_or_create_key(state_dir / SSH_KEY_FILE).public_key()
        line = f"restrict,port-forwarding {ssh_key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()}"
        relays = {}
        for name in ONE_WAY_MS:
            with lab.enter(name):
                relays[name] = stack.enter_context(Sshd(folder / name, line, host=lab.ip(name)))
        (folder / "cloud").mkdir(mode=0o700)
        here = lab.ip(PLATFORM)
        with lab.enter(PLATFORM):
            cloud = stack.enter_context(running(folder / "cloud", host=here))
            port = free_port(here)
            connector = start_connector(
                folder, port, policy=policy, services=services, provider=cloud.provider, host=here
            )
        stack.callback(connector.stop)
        world = SmallWorld(
            folder=folder, cloud=cloud, relays=relays, connector=connector, connector_port=port, connector_host=here,
            listen=f"{lab.ip(GATEWAY)}:8780", settings=settings,
        )  # fmt: skip
        stack.enter_context(lab.enter(GATEWAY))
        stack.callback(world.stop_gateways)
        yield LabWorld(lab=lab, world=world)


def _beside(relay: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (GATEWAY, relay), (relay, PLATFORM)
