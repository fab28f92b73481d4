"""Hints over Redis's publish and subscribe, on connections of their own. Nothing is kept in Redis."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from engine.hints import CHANNEL, CONNECT_TIMEOUT_S, ConnectedHints


class RedisHints(ConnectedHints):
    """Between all processes on one Redis server."""

    async def _listen(self, heard: Callable[[str], None], opened: Callable[[], None]) -> None:
        async with self._connected() as redis, redis.pubsub() as subscription:
            await subscription.subscribe(CHANNEL)
            while True:
                message = await self._next(subscription)
                if message["type"] == "subscribe":
                    opened()
                elif message["type"] == "message":
                    heard(message["data"])

    async def _next(self, subscription: PubSub) -> dict[str, Any]:
        """The next message. When there is none for long the server is asked for a sign of life; raises TimeoutError."""
        message: dict[str, Any] | None = await subscription.get_message(timeout=self._ping_s)
        if message is None:
            await subscription.ping()
            message = await subscription.get_message(timeout=self._answer_s)
        if message is None:
            raise TimeoutError
        return message

    async def _deliver(self, opened: Callable[[], None]) -> None:
        async with self._connected() as redis:
            await redis.ping()
            opened()
            await self._send_on(lambda message: redis.publish(CHANNEL, message), redis.ping)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Redis]:
        redis = Redis.from_url(
            self._url,
            decode_responses=True,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=self._answer_s,
            socket_keepalive=True,
            # A connection that the client quietly makes anew hides that messages were missed.
            retry=Retry(NoBackoff(), 0),
        )
        async with redis:
            yield redis
