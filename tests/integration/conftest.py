"""What tests of whoever calls others share: a server under their control."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.wire.server import WireServer


@pytest_asyncio.fixture
async def server() -> AsyncIterator[WireServer]:
    """The vendor, or whoever else is called."""
    async with WireServer() as server:
        yield server
