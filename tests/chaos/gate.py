"""A gate before a server: while it is closed nobody gets through, and whoever was inside is thrown out."""

import asyncio
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from tests.e2e.harness import free_port


class Gate:
    """Passes bytes on to a server on this machine, from an address that stays its own."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url).port
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._inside: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where clients find the server behind it."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Let everybody through."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self._port)

    async def close(self) -> None:
        """Refuse who comes, and cut off who is there."""
        if self._server:
            self._server.close()
        for writer in self._inside:
            writer.transport.abort()
        self._server = None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beyond_reader, beyond_writer = await asyncio.open_connection("127.0.0.1", self._target)
        both = {writer, beyond_writer}
        self._inside |= both
        await asyncio.gather(_carry(reader, beyond_writer), _carry(beyond_reader, writer))
        self._inside -= both


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()
