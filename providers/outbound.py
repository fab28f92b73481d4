"""The way out of the house: every connection to vendors, and to addresses that people or vendors name.

Imports its HTTP library only when a connection is first needed.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from threading import Lock
from typing import TYPE_CHECKING

from domain.errors import FetchRefused
from providers.addresses import Addresses, Network, Resolve

if TYPE_CHECKING:
    from ssl import SSLContext

    from httpx2 import AsyncClient

    from providers.transports import GuardedTransport

FETCH_TIMEOUT_S = 30.0
MAX_FETCHES = 8
"""How many imports run at once, how many fetches for vendors, and how many for servers that people name.

Each may hold a whole picture. The others wait.
"""
LATE = "Fetching from that address took too long."

_EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class Outbound:
    """Makes clients. Those that aren't trusted connect to public addresses, and to `private_networks`, alone."""

    def __init__(
        self,
        private_networks: Sequence[Network] = (),
        *,
        resolve: Resolve | None = None,
        fetch_timeout_s: float = FETCH_TIMEOUT_S,
    ) -> None:
        self._guarded = Addresses(private_networks, resolve)
        self._unguarded = Addresses(_EVERYWHERE, resolve)
        self._fetch_timeout_s = fetch_timeout_s
        self._imports = asyncio.Semaphore(MAX_FETCHES)
        self._results = asyncio.Semaphore(MAX_FETCHES)
        self._results_of_others = asyncio.Semaphore(MAX_FETCHES)
        self._certificates: SSLContext | None = None
        self._transports: tuple[GuardedTransport, GuardedTransport] | None = None
        self._connecting = Lock()

    def client(self, credentials: Mapping[str, str], timeout_s: float, *, is_trusted: bool) -> "AsyncClient":
        """A client whose requests carry `credentials` and nothing else of ours.

        A trusted one has its own connections. The others share theirs, which closing a client doesn't end. Callable
        from any thread.
        """
        from providers.connections import connect

        if is_trusted:
            with self._connecting:
                certificates = self._trusted_authorities()
            return connect(credentials, timeout_s, certificates=certificates)
        from providers.transports import LentTransport

        return connect(credentials, timeout_s, transport=LentTransport(self._connected()[0]))

    async def fetch(self, url: str, max_bytes: int) -> bytes:
        """Implements the `Fetcher` port: what people name."""
        async with self._in_time(), self._imports:
            return await self._fetched(url, max_bytes, None)

    async def fetch_result(
        self, url: str, max_bytes: int, *, is_trusted: bool = False, like: str | None = None
    ) -> bytes:
        """The same for what a provider names, which waits for no import: it is paid for, and soon gone.

        What a trusted provider names waits for no other, either. `like` is the address of the operator's own provider:
        what lies on the same host and port may be fetched wherever that is.
        """
        async with self._results if is_trusted else self._results_of_others, self._in_time():
            return await self._fetched(url, max_bytes, like)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._fetch_timeout_s):
                yield
        except TimeoutError:
            raise FetchRefused(LATE) from None

    async def _fetched(self, url: str, max_bytes: int, like: str | None) -> bytes:
        transports = await asyncio.to_thread(self._connected)
        from providers.fetching import Fetching

        return await Fetching(*transports, self._fetch_timeout_s).fetch(url, max_bytes, like)

    async def aclose(self) -> None:
        """Let go of connections."""
        for transport in self._transports or ():
            await transport.aclose()
        self._guarded.close()
        self._unguarded.close()

    def _connected(self) -> "tuple[GuardedTransport, GuardedTransport]":
        """What guarded connections, and fetches from trusted providers, go through; callable from any thread."""
        with self._connecting:
            if self._transports is None:
                from providers.transports import GuardedTransport

                certificates = self._trusted_authorities()
                self._transports = (
                    GuardedTransport(self._guarded, certificates),
                    GuardedTransport(self._unguarded, certificates),
                )
            return self._transports

    def _trusted_authorities(self) -> "SSLContext":
        """Read once, because that takes long; only to be called under the lock."""
        if self._certificates is None:
            from httpx2 import create_ssl_context

            self._certificates = create_ssl_context()
        return self._certificates
