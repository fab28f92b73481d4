"""Many subscribers in one thread: raw sockets and the least of WebSocket, so that reading is never what is slow.

Source: RFC 6455, section 5.2.
"""

import os
import select
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench.processes import Served

_TEXT, _PING = 0x81, 0x89
_HANDSHAKE = (
    "GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
_PATIENCE_S = 120.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Watched:
    """What a crowd saw of one publishing: how fast it came, at what cost, and how old each event was on arrival."""

    per_second: float
    cpu_s: float
    waits_s: list[float]


class _Subscriber:
    """One socket, what came of a frame that isn't whole yet, and the number of the newest event."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self.rest = b""
        self.seq = 0
        self.socket.sendall(_HANDSHAKE.encode())
        while b"\r\n\r\n" not in self.rest:
            self.rest += self._received()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        if b" 101 " not in head:
            raise RuntimeError(f"no WebSocket: {head!r}")

    def say(self, **message: object) -> None:
        """Send a message."""
        self._send(_TEXT, orjson.dumps(message))

    def hear(self) -> list[bytes]:
        """The texts that have come, waiting for some."""
        texts: list[bytes] = []
        data, at = self.rest + self._received(), 0
        while (frame := _frame(data, at)) is not None:
            begin, end = frame
            if data[at] == _PING:
                self._send(_PING + 1, data[begin:end])
            elif data[at] == _TEXT:
                texts.append(data[begin:end])
            else:
                raise RuntimeError(f"the server closed: {data[begin:end]!r}")
            at = end
        self.rest = data[at:]
        return texts

    def _received(self) -> bytes:
        data = self.socket.recv(1 << 16)
        if not data:
            raise RuntimeError("the server hung up")
        return data

    def _send(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")  # noqa: PLR2004 - the RFC's number
        self.socket.sendall(bytes([kind]) + length + b"\0\0\0\0" + payload)


def _frame(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the frame that begins there lies, when it is whole."""
    if len(data) < at + 4:
        return None
    size, begin = data[at + 1], at + 2
    if size == 126:  # noqa: PLR2004 - the RFC's number
        size, begin = int.from_bytes(data[begin : begin + 2], "big"), begin + 2
    return (begin, begin + size) if begin + size <= len(data) else None


class Crowd:
    """Subscribers that follow the server's one generation."""

    def __init__(self, served: Served, query: str) -> None:
        self._served = served
        self._query = query
        self._subscribers: dict[int, _Subscriber] = {}
        self._poll = select.epoll()

    def gather(self, warm_up: int, count: int) -> float:
        """Let so many come, `warm_up` at a time. Returns the KiB that the server holds for each after the first few."""
        who = orjson.loads(_answer(self._ask("GET", "/who")))
        self._join(warm_up, who)
        before = self._resident_kib()
        for begin in range(warm_up, count, warm_up):
            self._join(min(warm_up, count - begin), who)
        return (self._resident_kib() - before) / (count - warm_up)

    def _join(self, count: int, who: dict[str, str]) -> None:
        coming = [_Subscriber(self._served.port) for _ in range(count)]
        for one in coming:
            one.say(type="connection_init", payload={"token": who["token"]})
        for one in coming:
            while not any(b"connection_ack" in text for text in one.hear()):
                pass
            one.say(type="subscribe", id="1", payload={"query": self._query, "variables": {"id": who["id"]}})
            self._subscribers[one.socket.fileno()] = one
            self._poll.register(one.socket.fileno(), select.EPOLLIN)
        self._until_all_have(1)

    def _resident_kib(self) -> float:
        time.sleep(1.0)  # what only the handshake needed is let go of
        return int(Path(f"/proc/{self._served.pid}/statm").read_text().split()[1]) * _PAGE_BYTES / 1024

    def watch(self, events: int, pause_s: float) -> Watched:
        """Have events published, and read until every subscriber has each, in order."""
        last = max(one.seq for one in self._subscribers.values()) + events
        cpu_s, begun = self._served.cpu_s, time.monotonic()
        asking = self._ask("POST", f"/publish?events={events}&pause_s={pause_s}")
        waits_s = self._until_all_have(last)
        took_s = time.monotonic() - begun
        _answer(asking)
        return Watched(len(waits_s) / took_s, (self._served.cpu_s - cpu_s) / len(waits_s), waits_s)

    def _until_all_have(self, last: int) -> list[float]:
        waits_s: list[float] = []
        behind = {number for number, one in self._subscribers.items() if one.seq < last}
        while behind:
            ready = self._poll.poll(_PATIENCE_S)
            if not ready:
                raise RuntimeError(f"{len(behind)} subscribers still wait for event {last}")
            for number, _ in ready:
                one = self._subscribers[number]
                texts, now_s = one.hear(), time.monotonic()
                waits_s += [now_s - at_s for text in texts if (at_s := _taken(one, text)) is not None]
                if one.seq >= last:
                    behind.discard(number)
        return waits_s

    def _ask(self, method: str, path: str) -> socket.socket:
        asking = socket.create_connection(("127.0.0.1", self._served.port), timeout=_PATIENCE_S)
        asking.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return asking


def _answer(asking: socket.socket) -> bytes:
    with asking, asking.makefile("rb") as answer:
        return answer.read().partition(b"\r\n\r\n")[2]


def _taken(one: _Subscriber, text: bytes) -> float | None:
    """When the event in the text was published. Raises when it is not the next one."""
    at = text.find(b'"seq":')
    if at < 0:
        if b'"type":"ping"' in text:
            return None
        raise RuntimeError(f"no event: {text!r}")
    seq = int(text[at + 6 : text.index(b",", at)])
    if seq != one.seq + 1:
        raise RuntimeError(f"event {seq} after {one.seq}")
    one.seq = seq
    at = text.index(b'"stage":"') + 9
    return int(text[at : text.index(b'"', at)]) / 1e9
