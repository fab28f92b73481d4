"""Headless Chromium, driven over its own debugging protocol: as much of it as a page's test needs."""

import asyncio
import itertools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import websockets

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1400,900",
)
PATIENCE_S = 60.0
TEXT = "(document.body?.innerText ?? '').replaceAll('\\u00a0', ' ')"  # the editor's spaces don't break


def chromium() -> str | None:
    """The browser's program, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """One page of a browser of its own. `complaints` holds its errors, `hosts` whom it asked for anything."""

    def __init__(self, program: str, profile: Path) -> None:
        self._program = program
        self._profile = profile
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        self.hosts: set[str] = set()

    async def __aenter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: ASYNC220 - forks once, in a test
            [self._program, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port, path = await self._address()
        self._socket = await websockets.connect(f"ws://127.0.0.1:{port}{path}", max_size=None)
        self._listening = asyncio.create_task(self._listen())
        targets = await self._send("Target.getTargets")
        target = next(each["targetId"] for each in targets["targetInfos"] if each["type"] == "page")
        attached = await self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._send(f"{domain}.enable")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._listening.cancel()
        await self._socket.close()
        self._process.kill()
        self._process.wait()

    _session: str | None = None

    async def _address(self) -> tuple[str, str]:
        file = self._profile / "DevToolsActivePort"
        async with asyncio.timeout(PATIENCE_S):
            while not file.exists() or len(lines := file.read_text().splitlines()) < 2:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.05)
        return lines[0], lines[1]

    async def _send(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params}
        await self._socket.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        answer = await asyncio.wait_for(self._answers[number], PATIENCE_S)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def _listen(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            else:
                self._note(message["method"], message["params"])

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            host = urlsplit(params["request"]["url"]).hostname
            if host:  # data: addresses have none
                self.hosts.add(host)

    async def open(self, url: str) -> None:
        """Go to a page."""
        await self._send("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """What an expression is, in the page."""
        answer = await self._send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self.run(script):  # noqa: ASYNC110 - the page tells nobody
                await asyncio.sleep(0.1)
