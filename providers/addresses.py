"""Which addresses may be connected to. Names are resolved here, once: what was checked is what is connected to."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""From a host's name to its addresses as text. Raises socket.gaierror when there are none, or nobody to ask."""

MAX_LOOKUPS = 16

# Source: IANA's registries of special-purpose addresses (2026-11-21). Python's own `is_global` differs from one release
# to the next, and looks neither into mapped addresses nor at what clouds keep for themselves.
_NOT_PUBLIC_V4 = tuple(
    IPv4Network(cidr)
    for cidr in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers, and metadata at Alibaba
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # the host of every machine at Azure
        "169.254.0.0/16",  # link-local, and metadata at most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols, and metadata at Oracle
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
"""All that is given out; loopback, mapped, compatible, link-local, site-local, unique local and multicast lie outside."""
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(cidr)
    for cidr in (
        "2001::/23",  # protocols: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries any IPv4 address
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
# What the C library takes for an IPv4 address although it isn't written as one: 0x7f.1, 017700000001, 2130706433.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE | re.DOTALL)


class AddressRefused(Exception):
    """The host is, or has, an address that may not be connected to, or it has none: the two must look the same."""


class Addresses:
    """The addresses of hosts: public ones, and those inside of `private_networks`."""

    def __init__(self, private_networks: Sequence[Network] = (), resolve: Resolve | None = None) -> None:
        self._private_networks = private_networks
        self._resolve = resolve or self._look_up
        # Threads of their own: a name server that never answers shall not hold those that others wait for.
        self._threads = ThreadPoolExecutor(MAX_LOOKUPS, "lookup")

    async def of(self, host: str) -> list[Address]:
        """Every address of the host, in the order to try. Raises AddressRefused, and OSError when nobody could say."""
        literal = _literal(host)
        found = [literal] if literal else await self._resolved(host)
        # One that is refused is enough: whoever answers for the name chooses which of them is tried first.
        if not found or not all(map(self._may_be_called, found)):
            raise AddressRefused
        return found

    def close(self) -> None:
        """Let go of the threads that wait for nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _resolved(self, host: str) -> list[Address]:
        try:
            return [_unwrapped(ip_address(text)) for text in await self._resolve(host)]
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise
            return []

    def _may_be_called(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._private_networks)

    async def _look_up(self, host: str) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        # As bytes: Python refuses some names of text with errors that aren't an OSError.
        name = host.encode("ascii")
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]


def is_public(address: Address) -> bool:
    """Whether an address belongs to the internet at large, also when it carries one of IPv4 within."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    carried = address.ipv4_mapped
    if address in _NAT64:
        # Where a network has no IPv4, this is how all of IPv4 is reached.
        carried = IPv4Address(int(address) & 0xFFFF_FFFF)
    if carried is not None:
        return is_public(carried)
    return address in _GLOBAL_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def _literal(host: str) -> Address | None:
    """The address that the host is written as, None for a name. Raises AddressRefused for what only looks like one."""
    try:
        return _unwrapped(ip_address(host))
    except ValueError:
        if _NUMBER.fullmatch(host):
            raise AddressRefused from None
        return None


def _unwrapped(address: Address) -> Address:
    """A mapped IPv4 address as itself: that is where the connection would go."""
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
