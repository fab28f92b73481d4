"""What adapters of remote vendors share: a lazily made client, one deadline per call, and one end to every call."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from re import compile as pattern
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from domain.errors import ProviderUnusable
from domain.failures import FailureCode, failure
from domain.providers import (
    ImageModel,
    ImageOptions,
    PictureFailed,
    PictureRequest,
    PreviewArrived,
    ProviderEvent,
    ProviderKind,
)
from providers.catalogue import Catalogue, picture_price_micro_usd
from providers.errors import picture_failed

if TYPE_CHECKING:
    from httpx2 import AsyncClient

Client = TypeVar("Client")

DEFAULT_TIMEOUT_S = 300.0
CHECK_TIMEOUT_S = 15.0

# A model id becomes part of a URL at some vendors.
_MODEL_ID = pattern(r"[A-Za-z0-9](?:[A-Za-z0-9_:-]|[./](?![./])){0,127}")


class RemoteProvider(ABC, Generic[Client]):
    """An `ImageProvider` over a vendor's SDK. An adapter says how to connect, ask and check; the rest is here."""

    catalogue: ClassVar[Catalogue]

    def __init__(self, api_key: str | None, base_url: str | None = None, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._api_key = (api_key or "").strip()
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._connection: tuple[AsyncClient, Client] | None = None
        self._connecting = asyncio.Lock()

    @property
    def kind(self) -> ProviderKind:
        """Which vendor this is."""
        return self.catalogue.kind

    @property
    def name(self) -> str:
        """The vendor's name as people write it."""
        return self.catalogue.name

    @property
    def models(self) -> Sequence[ImageModel]:
        """The models we know the limits of; the first is the default."""
        return self.catalogue.models

    def model(self, id: str) -> ImageModel:
        """The model's limits, or the vendor's general ones."""
        return self.catalogue.model(id)

    @property
    def problem(self) -> str | None:
        """What is wrong with the key, or None."""
        if not self._api_key:
            return f"No API key is set for {self.name}."
        if not (self._api_key.isascii() and self._api_key.isprintable()):
            return f"The API key for {self.name} has characters that no key has."
        return None

    def price_micro_usd(self, model: str, options: ImageOptions, references: int) -> int | None:
        """The catalogue's price; references cost little beside the picture and are not counted."""
        return picture_price_micro_usd(model, options)

    async def generate(self, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """Ask for one picture, once. Closing the generator ends the HTTP call."""
        if self.problem:
            yield PictureFailed(failure(FailureCode.INVALID_KEY, self.problem))
        elif not _MODEL_ID.fullmatch(request.model):
            yield PictureFailed(failure(FailureCode.INVALID_REQUEST, "This is not the name of a model."))
        else:
            # Leaving early closes the inner generator here, and with it the HTTP call.
            async with aclosing(self._to_the_end(request)) as events:
                async for event in events:
                    yield event

    async def check(self) -> None:
        """Call the vendor without cost. Raises ProviderUnusable in words."""
        if self.problem:
            raise ProviderUnusable(self.problem, self.kind)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await self._ping(await self._connected())
        except Exception as error:  # noqa: BLE001 - SDKs raise what they like; the table knows or logs it
            # Without its cause: an SDK's exception quotes the vendor's answer, and that may quote the key.
            raise ProviderUnusable(picture_failed(self.kind, error).failure.message, self.kind) from None

    async def aclose(self) -> None:
        """Let go of connections."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection[0].aclose()

    async def _to_the_end(self, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """The call's events until its one outcome, whatever is raised on the way."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                client = await self._connected()
            async with aclosing(self._ask(client, request)) as events:
                while True:
                    # The deadline is set around each wait and never around a yield, where it would hit the consumer.
                    async with asyncio.timeout_at(deadline):
                        event = await anext(events)
                    yield event
                    if not isinstance(event, PreviewArrived):
                        return
        except StopAsyncIteration:
            yield PictureFailed(failure(FailureCode.EMPTY_RESULT, is_charged=True))
        except Exception as error:  # noqa: BLE001 - the same
            yield picture_failed(self.kind, error)

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._connection is None:
                # Importing an SDK and reading certificates takes most of a second.
                self._connection = await asyncio.to_thread(self._connect)
            return self._connection[1]

    def _connect(self) -> "tuple[AsyncClient, Client]":
        from providers.connections import connect

        http = connect(self._credentials(), self._timeout_s)
        return http, self._client_over(http)

    @abstractmethod
    def _credentials(self) -> dict[str, str]:
        """The headers that carry the key."""

    @abstractmethod
    def _client_over(self, http: "AsyncClient") -> Client:
        """Import the SDK and make its client, without retries of its own; runs in a thread."""

    @abstractmethod
    def _ask(self, client: Client, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """Ask once; may raise anything."""

    @abstractmethod
    async def _ping(self, client: Client) -> None:
        """Call something free that needs the key; may raise anything."""
