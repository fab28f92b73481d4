"""A small HTTP/1.1 server under a test's full control: it records requests, answers as told, and can break off anywhere.

Raw sockets instead of a framework, because half of what it must do no framework allows.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Self

from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartParser

from domain.providers import ImageProvider, PictureRequest, ProviderEvent


class Ending(Enum):
    """What happens after an answer's bytes are sent; CUT, RESET and HANG come before the promised end."""

    COMPLETE = auto()
    CUT = auto()
    RESET = auto()
    HANG = auto()
    KEPT_ALIVE = auto()


@dataclass(frozen=True)
class Answer:
    """One answer. Its pieces are sent one after the other; what is cut short promises more than it sends."""

    status: int = 200
    pieces: Sequence[bytes] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    ending: Ending = Ending.COMPLETE

    def head(self) -> bytes:
        """The status line and the headers."""
        is_whole = self.ending in {Ending.COMPLETE, Ending.KEPT_ALIVE}
        promised = sum(map(len, self.pieces)) + (0 if is_whole else 1_000)
        connection = "keep-alive" if self.ending is Ending.KEPT_ALIVE else "close"
        headers = {"content-length": str(promised), "connection": connection, **self.headers}
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode()


def json_answer(body: object, status: int = 200, ending: Ending = Ending.COMPLETE, **headers: str) -> Answer:
    """An answer in JSON; underscores in header names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, [json.dumps(body).encode()], {"content-type": "application/json", **named}, ending)


def text_answer(text: str, status: int = 200, media_type: str = "text/html") -> Answer:
    """An answer that isn't JSON."""
    return Answer(status, [text.encode()], {"content-type": media_type})


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    async def form(self) -> FormData:
        """The body, read as a multipart form."""

        async def stream() -> AsyncGenerator[bytes, None]:
            yield self.body

        return await MultiPartParser(Headers(dict(self.headers)), stream()).parse()


class WireServer:
    """The server: `async with WireServer() as server`, then set `server.answer` and look at `server.received`.

    `first` are the answers to the first requests; `answer` is that to all others.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._tls = tls
        self._host = host
        self.answer = Answer()
        self.first: list[Answer] = []
        self.connections = 0
        self.received: list[Received] = []
        self.arrived = asyncio.Event()
        self.hung_up = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._welcome, self._host, 0, ssl=self._tls)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The server's address, without a path."""
        return f"http://{self._host}:{self.port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def answer_to(self, received: Received) -> Answer:
        """The answer to a request; those who answer each in its own way override it."""
        return self.first.pop(0) if self.first else self.answer

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await _request(reader)
        self.received.append(received)
        self.arrived.set()
        answer = await self.answer_to(received)
        writer.write(answer.head())
        for piece in answer.pieces:
            writer.write(piece)
            await writer.drain()
            # Pieces of one packet would arrive as one: events are to be seen one by one.
            await asyncio.sleep(0.01)
        if answer.ending is Ending.RESET:
            linger_none = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_none)
            writer.transport.abort()
        if answer.ending in {Ending.HANG, Ending.KEPT_ALIVE} and await reader.read() == b"":
            self.hung_up.set()


async def _request(reader: asyncio.StreamReader) -> Received:
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    method, path, _ = start.split(" ")
    pairs = (line.split(": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body)


async def ask(provider: ImageProvider, request: PictureRequest) -> list[ProviderEvent]:
    """Everything a provider says to one request."""
    return [event async for event in provider.generate(request)]
