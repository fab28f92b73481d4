"""A real server process, started as a user would start it, and the operations a client sends it."""

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import websockets

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
ADMIN = "admin@atelier.local"
# Servers on this machine are spoken to in the clear: reading all the world's authorities for each client takes longest.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

CREATE_REFERENCE = """
mutation($input: CreateReferenceImageInput!) {
  createReferenceImage(input: $input) {
    __typename ... on CreateReferenceImageSuccess { referenceImage { image { width height } } } ... on UserError { message }
  }
}
"""
IDENTITY = "query { viewer { identities { id } } }"
GENERATE = """
mutation($input: GenerateImageInput!) {
  generateImage(input: $input) {
    __typename
    ... on GenerateImageSuccess { generation { id state } }
    ... on UserError { message }
  }
}
"""
FOLLOW = """
subscription($id: ID!, $after: Int!) {
  generationProgress(id: $id, after: $after) {
    seq state stage isTerminal index
    preview { original } image { id picture { original thumbnail } } failure { code isCharged }
  }
}
"""
GENERATION = """
query($id: ID!) {
  generation(id: $id) {
    state eventSeq images { id } failures { code index isCharged }
    attempts { index number outcome finishedAt }
  }
}
"""


def needed(what: str) -> None:
    """Skip, except where everything must be there."""
    if os.environ.get("ATELIER_REQUIRE_SERVICES"):
        pytest.fail(f"{what} is needed here")
    pytest.skip(f"{what} is not there")


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Unanswered(AssertionError):
    """The server said that it couldn't."""


class Client:
    """Somebody signed in, and the server they speak to. `heard` is everything they were answered."""

    def __init__(self, port: int, token: str = "") -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.token = token
        self.heard: list[str] = []

    @property
    def headers(self) -> dict[str, str]:
        """What a signed-in client sends along."""
        return {"Authorization": f"Bearer {self.token}"}

    async def send(self, query: str, **variables: object) -> dict[str, Any]:
        """The data of an operation that must not have errors."""
        async with httpx.AsyncClient(timeout=30, verify=NO_TLS) as client:
            answer = await client.post(
                f"{self.url}/graphql", json={"query": query, "variables": variables}, headers=self.headers
            )
        return self._told(answer)

    async def upload(self, query: str, variables: dict[str, Any], filename: str, content: bytes) -> dict[str, Any]:
        """The data of an operation with one file, in `variables.input.file`."""
        variables["input"]["file"] = None
        async with httpx.AsyncClient(timeout=30, verify=NO_TLS) as client:
            answer = await client.post(
                f"{self.url}/graphql",
                data={
                    "operations": json.dumps({"query": query, "variables": variables}),
                    "map": json.dumps({"0": ["variables.input.file"]}),
                },
                files={"0": (filename, content)},
                headers=self.headers,
            )
        return self._told(answer)

    def _told(self, answer: httpx.Response) -> dict[str, Any]:
        self.heard.append(answer.text)
        body = answer.json()
        if "errors" in body:
            raise Unanswered(body)
        data: dict[str, Any] = body["data"]
        return data

    async def change(
        self, name: str, success: str, errors: str = "... on UserError { message }", /, **input: object
    ) -> dict[str, Any]:
        """The result of a mutation: `success` selects from what it makes, `errors` from what it may meet with."""
        kind = name[0].upper() + name[1:]
        selection = f"__typename ... on {kind}Success {{ {success} }} {errors}"
        query = f"mutation($input: {kind}Input!) {{ r: {name}(input: $input) {{ {selection} }} }}"
        result: dict[str, Any] = (await self.send(query, input=input))["r"]
        return result

    async def generate(self, **input: object) -> str:
        """The id of a new generation."""
        answer = (await self.send(GENERATE, input=input))["generateImage"]
        assert answer["__typename"] == "GenerateImageSuccess", answer
        id: str = answer["generation"]["id"]
        return id

    async def follow(self, id: str, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """The generation's events, until the terminal one or until the connection breaks."""
        url = f"ws://127.0.0.1:{self.port}/graphql"
        async with websockets.connect(url, subprotocols=[websockets.Subprotocol("graphql-transport-ws")]) as socket_:
            await socket_.send(
                json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {self.token}"}})
            )
            assert json.loads(await socket_.recv())["type"] == "connection_ack"
            payload = {"query": FOLLOW, "variables": {"id": id, "after": after}}
            await socket_.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            async for text in socket_:
                self.heard.append(str(text))
                message = json.loads(text)
                if message["type"] == "complete":
                    return
                if message["type"] == "ping":
                    continue
                if message["type"] != "next" or "errors" in message["payload"]:
                    raise Unanswered(message)
                yield message["payload"]["data"]["generationProgress"]


class Server(Client):
    """One data folder and port; the process behind them may be killed and started again. Its client is the admin."""

    def __init__(self, folder: Path, *, name: str = "server", **settings: str) -> None:
        super().__init__(free_port())
        self.log = folder / f"{name}.log"
        self.environ = {
            **{key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG", "VIRTUAL_ENV"}},
            "ATELIER_DATA_DIR": str(folder / "data"),
            "PORT": str(self.port),
            "PUBLIC_URL": self.url,
            "LOG_FORMAT": "json",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self.is_up:
            self.kill()

    @property
    def is_up(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def command(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run one of the command line's other commands over the same data."""
        return subprocess.run(
            [sys.executable, "main.py", *arguments],
            cwd=ROOT,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )

    async def start(self, *arguments: str) -> None:
        """Start the process and wait until it answers."""
        await self._start_until(self._answers, *arguments)
        if not self.token:
            self.token = (await asyncio.to_thread(self.command, "user", "token", ADMIN)).stdout.strip()

    async def start_worker(self) -> None:
        """Start a process that only makes pictures, and wait until it says that it does."""
        told = self.log.stat().st_size if self.log.exists() else 0
        await self._start_until(lambda: self._says("worker started", told), "worker")

    async def _start_until(self, is_up: Callable[[], Awaitable[bool]], *arguments: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - forks once, in a test
                [sys.executable, "main.py", *arguments], cwd=ROOT, env=self.environ, stdout=log, stderr=log
            )
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await is_up():
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        async with httpx.AsyncClient(verify=NO_TLS) as client:
            try:
                return (await client.get(f"{self.url}/healthz")).status_code == 200
            except httpx.TransportError:
                return False

    async def _says(self, words: str, after: int) -> bool:
        return words in self.log.read_bytes()[after:].decode(errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would."""
        assert self.process
        self.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End the process politely. Returns its exit code."""
        assert self.process
        self.process.terminate()
        return self.process.wait(timeout=STOP_TIMEOUT_S)

    async def wait_for_death(self, timeout_s: float = 30) -> None:
        """Wait until the process has ended by itself."""
        assert self.process
        await asyncio.wait_for(asyncio.to_thread(self.process.wait), timeout_s)

    @property
    def password(self) -> str:
        """The admin's, which the first start printed."""
        return self.log.read_text().partition("with the password  ")[2].split()[0]
