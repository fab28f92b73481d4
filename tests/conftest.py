"""What every test may rely on: no connection leaves the machine, and the services that some tests need."""

import ipaddress
import os
import sys
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.database", "tests.graphql", "tests.matrix"]

_outside: list[str] = []


def _is_local(host: object) -> bool:
    if not isinstance(host, str) or host == "localhost" or host.endswith(".localhost"):
        return True  # a name, a path of a Unix socket, or none at all
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _guard(event: str, args: tuple[object, ...]) -> None:
    if event == "socket.connect":
        address = args[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event == "socket.getaddrinfo":
        host = args[0].decode() if isinstance(args[0], bytes) else args[0]
        if host in {"0.0.0.0", "::"}:
            return  # what a listening socket asks for
    else:
        return
    if not _is_local(host):
        _outside.append(str(host))
        raise RuntimeError(f"A test may reach this machine only, not {host}")


sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def outside_calls() -> Iterator[list[str]]:
    """The other machines a test tried to reach: it fails when there are any, even where the code hid the error."""
    _outside.clear()
    yield _outside
    assert not _outside, f"reached out to {_outside}"


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """The address of an empty PostgreSQL database for tests."""
    url = os.environ.get("TEST_POSTGRES_URL")
    if url:
        return url
    if os.environ.get("ATELIER_REQUIRE_SERVICES"):
        pytest.fail("TEST_POSTGRES_URL is not set, and ATELIER_REQUIRE_SERVICES allows no skipping")
    pytest.skip("TEST_POSTGRES_URL is not set")
