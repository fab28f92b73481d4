"""The guard where connections are made: a host is resolved and checked here, and that very address connected to.

Imported only when a connection is first needed.
"""

import asyncio
import ssl
from collections.abc import Iterable

import httpcore2
import httpx2

from providers.addresses import Addresses

MAX_CONNECTIONS = 200
MAX_IDLE_CONNECTIONS = 20
IDLE_S = 15.0
MAX_ADDRESSES_TRIED = 4


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """Connects to `addresses` alone, over connections that are kept for whoever comes next."""

    def __init__(self, addresses: Addresses, ssl_context: ssl.SSLContext) -> None:
        # In place of the parent's: it has no way to say a backend, and makes the pool that all of its methods use.
        # No proxy: it would resolve the host again, and connect for us to what we would have refused.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_S,
            network_backend=_GuardedBackend(addresses),
        )


class LentTransport(httpx2.AsyncBaseTransport):
    """A transport that stays open when the client that it is lent to is closed."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass it on."""
        return await self._transport.handle_async_request(request)


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections. Certificates are still checked for the host's name, one layer above."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the signature is httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers. Raises AddressRefused."""
        try:
            async with asyncio.timeout(timeout):
                addresses = (await self._addresses.of(host))[:MAX_ADDRESSES_TRIED]
        except TimeoutError:
            raise httpcore2.ConnectTimeout from None
        except OSError:
            raise httpcore2.ConnectError from None
        share_s = timeout and timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(str(address), port, share_s, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._network.connect_tcp(str(addresses[-1]), port, share_s, local_address, socket_options)
