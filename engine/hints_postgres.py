"""Hints over PostgreSQL's LISTEN and NOTIFY, on connections of their own.

They go out after the commit of what they tell: within its transaction NOTIFY would make commits wait for each other.
The connections must be direct ones: a pooler that shares sessions between transactions loses what is listened to.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from engine.hints import CHANNEL, CLOSE_TIMEOUT_S, CONNECT_TIMEOUT_S, ConnectedHints

APPLICATION_NAME = "atelier progress"


class PostgresHints(ConnectedHints):
    """Between all processes on one database."""

    async def _listen(self, heard: Callable[[str], None], opened: Callable[[], None]) -> None:
        async with self._connected() as connection:
            closed = asyncio.Event()
            connection.add_termination_listener(lambda _: closed.set())
            await connection.add_listener(CHANNEL, lambda _connection, _pid, _channel, payload: heard(payload))
            opened()
            while not connection.is_closed():
                try:
                    async with asyncio.timeout(self._ping_s):
                        await closed.wait()
                except TimeoutError:
                    await connection.execute("SELECT 1")
            raise ConnectionResetError

    async def _deliver(self, opened: Callable[[], None]) -> None:
        async with self._connected() as connection:
            opened()
            await self._send_on(
                lambda message: connection.execute("SELECT pg_notify($1, $2)", CHANNEL, message),
                lambda: connection.execute("SELECT 1"),
            )

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(
            self._url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=self._answer_s,
            server_settings={"application_name": APPLICATION_NAME},
        )
        try:
            yield connection
        finally:
            try:
                await connection.close(timeout=CLOSE_TIMEOUT_S)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()
