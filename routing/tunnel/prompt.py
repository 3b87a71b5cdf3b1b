"""Log in to a relay with fewer round trips than asyncssh takes; asyncssh's insides stay in here.

Three things are sent earlier than asyncssh sends them. Our key exchange offer goes out with our version instead of
after the server's (RFC 4253, 4.2 and 7.1 let both sides speak first). As soon as the host key is verified, and never
before, the signed log-in goes out right behind the request for the service, without asking first whether the key
would do. Right behind that the next hop's channel may be opened: the server takes both in order, and has nothing
to open when it refuses the log-in. Per hop that saves 4 of 8 round trips, and the next hop starts one earlier.
"""

import asyncio
from collections.abc import Callable

import asyncssh
from asyncssh.auth import ClientAuth, lookup_client_auth
from asyncssh.constants import MSG_CHANNEL_OPEN
from asyncssh.packet import Boolean, SSHPacketLogger, String

from routing.probe.passive import acknowledge_at_once
from routing.tunnel.packets import LeanConnection
from routing.tunnel.views import Octets

# The series these insides were read in; another one is connected to by asyncssh's own way until somebody has looked.
_SERIES = "2.24."
_DEEDS = ("_send_kexinit", "_send_version", "send_packet", "send_service_request", "try_next_auth")
_PUBLIC_KEY = b"publickey"


def is_understood() -> bool:
    """Tell whether the installed asyncssh is one whose insides are known here."""
    deeds = (getattr(asyncssh.SSHClientConnection, deed, None) for deed in _DEEDS)
    return asyncssh.__version__.startswith(_SERIES) and all(callable(deed) for deed in deeds)


class PromptConnection(LeanConnection):
    """A client connection that does not wait where it need not. It offers nothing but AES-GCM and one Ed25519 key.

    ``on_log_in`` is called once the host key is verified and the log-in sent: from then on channels may be opened,
    which fail when the log-in is refused.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: asyncssh.SSHClientConnectionOptions,
        *,
        wait: str,
        on_log_in: Callable[[asyncssh.SSHClientConnection], None],
    ) -> None:
        super().__init__(loop, options, wait=wait)
        self._on_log_in: Callable[[asyncssh.SSHClientConnection], None] | None = on_log_in
        self._is_log_in_sent = False
        self._is_service_due = False

    def data_received(self, data: Octets, datatype: int | None = None) -> None:
        """Take ``data``; until we are logged in, acknowledge at once: the server's next packet waits for that."""
        super().data_received(data, datatype)
        if not self._auth_complete and self._transport is not None:
            acknowledge_at_once(self)

    def settle(self) -> None:
        """Let go of what only the log-in needed, a sixth of what a connection keeps."""
        self._on_log_in = None
        self._client_kexinit = self._server_kexinit = b""
        self._server_sig_algs = set()
        self._options.kwargs = {}  # other options could be derived from these; ours are not

    def send_packet(self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None) -> None:
        """Send a packet; one that opens a channel before the log-in was answered, too."""
        if pkttype == MSG_CHANNEL_OPEN and self._is_log_in_sent and not self._auth_complete:
            self._auth_complete = True  # for this packet, which would else be kept until it is true
            try:
                super().send_packet(pkttype, *args, handler=handler)
            finally:
                self._auth_complete = False
        else:
            super().send_packet(pkttype, *args, handler=handler)

    def send_service_request(self, service: bytes) -> None:
        """Ask for the service and log in; asyncssh does so after the first key exchange, with the host key verified."""
        super().send_service_request(service)
        self._is_service_due = True
        self._auth_methods = [_PUBLIC_KEY]
        auth = lookup_client_auth(self, _PUBLIC_KEY)
        assert auth is not None
        self._auth = auth
        auth.create_task(self._log_in(auth))  # in place of the question that it would begin with

    def try_next_auth(self, *, next_method: bool = False) -> None:
        """Go on to the next way to log in, but not because the service was granted: the log-in is under way."""
        if self._is_service_due and not next_method:
            self._is_service_due = False
            return
        super().try_next_auth(next_method=next_method)

    async def _log_in(self, auth: ClientAuth) -> None:
        key = await self.public_key_auth_requested()
        if key is None:
            self.try_next_auth(next_method=True)
            return
        signed = (Boolean(True), String(key.algorithm), String(key.public_data))  # noqa: FBT003  RFC 4252, 7
        await auth.send_request(*signed, key=key, trivial=False)
        self._is_log_in_sent = True
        if self._on_log_in is not None:
            self._on_log_in(self)

    def _send_version(self) -> None:
        super()._send_version()
        self._send_kexinit()
        self._kexinit_sent = True

    def _send_kexinit(self) -> None:
        if self._client_kexinit and not self._session_id:
            return  # The first one went out with our version.
        super()._send_kexinit()
