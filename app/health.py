"""Whether this process can do its work, for load balancers and orchestrators: asked often, by anybody, and cheaply.

`/healthz` says that the process answers; `/readyz` looks at what it needs. However often that is asked, each part is
looked at once every few seconds at most, and never twice at a time.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.kept import Kept
from app.wiring import Atelier
from domain.errors import StoreUnavailable
from storage.database.engine import DatabaseUnavailable

OK = "ok"
KEPT_S = 3.0
ANSWERS_WITHIN_S = 5.0
# Never an object's key: those begin with a community.
PROBE = "readyz"

_log = logging.getLogger(__name__)

Look = Callable[[], Awaitable[None]]


class NotReady(Exception):
    """A part can't do its work; the message says why, for anybody to read."""


class Part:
    """One thing that is needed, and what was last found of it."""

    def __init__(self, look: Look, answers_within_s: float) -> None:
        self._look = look
        self._answers_within_s = answers_within_s
        self._looking: asyncio.Task[str] | None = None

    async def words(self) -> str:
        """`ok`, or what is wrong. A look that hangs is not given up, so that no other joins it."""
        looking = self._looking or asyncio.create_task(self._found())
        self._looking = looking
        await asyncio.wait([looking], timeout=self._answers_within_s)
        if not looking.done():
            return f"did not answer within {self._answers_within_s:g} s"
        self._looking = None
        return looking.result()

    async def _found(self) -> str:
        try:
            await self._look()
        except (NotReady, DatabaseUnavailable, StoreUnavailable) as problem:
            return str(problem)
        except Exception:  # noqa: BLE001 - whoever asks learns that something is wrong, and the log what
            _log.warning("a part could not be looked at", exc_info=True)
            return "can't be looked at"
        return OK

    async def aclose(self) -> None:
        """Give up a look that hangs."""
        if self._looking:
            self._looking.cancel()
            await asyncio.wait([self._looking])


class Readiness:
    """Looks at the parts, all at once."""

    def __init__(
        self,
        looks: Mapping[str, Look],
        *,
        kept_s: float = KEPT_S,
        answers_within_s: float = ANSWERS_WITHIN_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = {name: Part(look, answers_within_s) for name, look in looks.items()}
        self._found = Kept(self._look, kept_s, now)

    async def parts(self) -> Mapping[str, str]:
        """Each part with `ok` or what is wrong with it, a few seconds old at most."""
        return await self._found.get()

    async def _look(self) -> Mapping[str, str]:
        found = await asyncio.gather(*(part.words() for part in self._parts.values()))
        return dict(zip(self._parts, found, strict=True))

    async def answer(self, _request: Request) -> JSONResponse:
        """`/readyz`: 200 when every part is well, otherwise 503."""
        parts = await self.parts()
        is_ready = all(words == OK for words in parts.values())
        body = {"status": OK if is_ready else "unavailable", "parts": parts}
        return JSONResponse(body, 200 if is_ready else 503, {"cache-control": "no-store"})

    async def aclose(self) -> None:
        """Give up what is still being looked at."""
        await self._found.aclose()
        for part in self._parts.values():
            await part.aclose()


def readiness(atelier: Atelier, *, works: bool) -> Readiness:
    """What the process needs: the database at its version, the object store, and the job engine where it works."""

    async def database() -> None:
        # While a new version is brought in, its migrations come first: those that still serve are no less ready.
        await atelier.database.check(may_be_newer=True)

    async def store() -> None:
        await atelier.objects.exists(PROBE)

    async def engine() -> None:
        if not atelier.engine.is_alive:
            raise NotReady("does not take up work")

    looks: dict[str, Look] = {"database": database, "store": store}
    return Readiness({**looks, "engine": engine} if works else looks)


def health_routes(ready: Readiness) -> list[Route]:
    """`/healthz` and `/readyz`."""

    async def alive(_request: Request) -> JSONResponse:
        return JSONResponse({"status": OK})

    return [Route("/healthz", alive), Route("/readyz", ready.answer)]
