"""What adapters of remote vendors share: a lazily made client, one deadline per call, and one end to every call."""

import asyncio
import base64
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from domain.errors import FetchRefused, InvalidImage, ProviderUnusable
from domain.failures import MESSAGES, FailureCode, failure
from domain.picture_store import MADE_LIMITS
from domain.providers import (
    Access,
    ImageModel,
    ImageOptions,
    PictureArrived,
    PictureFailed,
    PictureRequest,
    PreviewArrived,
    ProviderEvent,
    ProviderKind,
    is_model_id,
)
from providers.catalogue import Catalogue
from providers.errors import ErrorAnswered, NoPicture, picture_failed
from providers.outbound import Outbound
from providers.prices import picture_price_micro_usd
from providers.prompts import full_prompt
from providers.redaction import redacted

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

Client = TypeVar("Client")

DEFAULT_TIMEOUT_S = 300.0
CHECK_TIMEOUT_S = 15.0

WRONG_ADDRESS = "The address does not answer as the provider's API does."
NOT_FETCHED = "The provider's picture could not be fetched from where it put it."


class RemoteProvider(ABC, Generic[Client]):
    """An `ImageProvider` over a vendor's SDK. An adapter says how to connect, ask and check; the rest is here."""

    catalogue: ClassVar[Catalogue]

    def __init__(self, access: Access, outbound: Outbound, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._api_key = (access.api_key or "").strip()
        self._base_url = access.base_url
        # Where nobody has named an address, it is the vendor's own, which is ours.
        self._is_trusted = access.is_trusted or not access.base_url
        self._outbound = outbound
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
    def makes_images(self) -> bool:
        """Every vendor that has an adapter."""
        return True

    @property
    def needs_key(self) -> bool:
        """By the catalogue."""
        return self.catalogue.needs_key

    @property
    def needs_base_url(self) -> bool:
        """By the catalogue."""
        return self.catalogue.needs_base_url

    @property
    def models(self) -> Sequence[ImageModel]:
        """The models we know the limits of; the first is the default."""
        return self.catalogue.models

    def model(self, id: str) -> ImageModel:
        """The model's limits, or the vendor's general ones."""
        return self.catalogue.model(id)

    @property
    def problem(self) -> str | None:
        """What is wrong with the key or the address, or None."""
        if self.needs_base_url and not self._base_url:
            return f"No address is set for {self.name}."
        if self.needs_key and not self._api_key:
            return f"No API key is set for {self.name}."
        if not (self._api_key.isascii() and self._api_key.isprintable()):
            return f"The API key for {self.name} has characters that no key has."
        return None

    def price_micro_usd(self, model: str, options: ImageOptions, references: int) -> int | None:
        """The catalogue's price; references are counted where their price is told, and cost little elsewhere."""
        return picture_price_micro_usd(self.kind, model, options, references)

    async def generate(self, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """Ask for one picture, once. Closing the generator ends the HTTP call."""
        if self.problem:
            yield PictureFailed(failure(FailureCode.INVALID_KEY, self.problem))
        elif not is_model_id(request.model):
            yield PictureFailed(failure(FailureCode.INVALID_REQUEST, "This is not the name of a model."))
        else:
            # Leaving early closes the inner generator here, and with it the HTTP call.
            async with aclosing(self._to_the_end(request)) as events:
                async for event in events:
                    yield event

    async def check(self) -> Sequence[ImageModel]:
        """Call the vendor without cost. Returns what it offers. Raises ProviderUnusable in words."""
        if self.problem:
            raise ProviderUnusable(self.problem, self.kind)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return self.catalogue.offered(await self._offered(await self._connected()))
        except Exception as error:  # noqa: BLE001 - SDKs raise what they like; the table knows or logs it
            # Without its cause: an SDK's exception quotes the vendor's answer, and that may quote the key.
            told = picture_failed(self.kind, error).failure.message
            # No picture was asked for: it is the address that isn't right.
            message = WRONG_ADDRESS if told == MESSAGES[FailureCode.BAD_RESPONSE] else told
            raise ProviderUnusable(message, self.kind) from None

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
                    yield self._without_key(event)
                    if not isinstance(event, PreviewArrived):
                        return
        except StopAsyncIteration:
            yield PictureFailed(failure(FailureCode.EMPTY_RESULT, is_charged=True))
        except Exception as error:  # noqa: BLE001 - the same
            shown = partial(redacted, key=self._api_key, prompt=full_prompt(request))
            yield self._without_key(picture_failed(self.kind, error, shown))

    def _without_key(self, event: ProviderEvent) -> ProviderEvent:
        """The event without texts that repeat the key: they are stored, and shown to others."""
        if isinstance(event, PreviewArrived) or not self._api_key:
            return event
        if isinstance(event, PictureArrived) and self._api_key in (event.revised_prompt or ""):
            event = replace(event, revised_prompt=None)
        return replace(event, request_id=None) if self._api_key in (event.request_id or "") else event

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._connection is None:
                # Importing an SDK and reading certificates takes most of a second.
                self._connection = await asyncio.to_thread(self._connect)
            return self._connection[1]

    def _connect(self) -> "tuple[AsyncClient, Client]":
        http = self._outbound.client(self._credentials(), self._timeout_s, is_trusted=self._is_trusted)
        return http, self._client_over(http)

    async def _at(self, url: str, request_id: str | None) -> bytes:
        """The picture at an address that an answer names: a data URI, or one to be fetched. Raises NoPicture."""
        if url.startswith("data:"):
            return await decoded(url, request_id)
        try:
            like = self._base_url if self._is_trusted else None
            return await self._outbound.fetch_result(url, MADE_LIMITS.max_bytes, is_trusted=self._is_trusted, like=like)
        except (FetchRefused, InvalidImage):
            # It was made and paid; where it lies can't be reached, or isn't to be.
            raise NoPicture(failure(FailureCode.BAD_RESPONSE, NOT_FETCHED, is_charged=True), request_id) from None

    @abstractmethod
    def _credentials(self) -> dict[str, str]:
        """The headers that carry the key, if there is one."""

    @abstractmethod
    def _client_over(self, http: "AsyncClient") -> Client:
        """Import the SDK and make its client, without retries of its own; runs in a thread."""

    @abstractmethod
    def _ask(self, client: Client, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """Ask once; may raise anything."""

    @abstractmethod
    async def _offered(self, client: Client) -> Sequence[str] | None:
        """The ids of image models in the vendor's list, from a free call that needs the key; may raise anything.

        None when the vendor has no list.
        """


async def check_answered(answer: "Response") -> None:
    """Raises ErrorAnswered unless it is a 200; a body that can't be read as JSON is text."""
    if answer.status_code == HTTPStatus.OK:
        return
    body = await answer.aread()
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = body.decode(errors="replace")
    raise ErrorAnswered(answer.status_code, told, answer.headers)


async def decoded(text: str, request_id: str | None) -> bytes:
    """The bytes of strict base64, with or without a `data:` prefix. Raises NoPicture."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return await asyncio.to_thread(base64.b64decode, text, validate=True)
    except ValueError:
        raise NoPicture(failure(FailureCode.BAD_RESPONSE, is_charged=True), request_id) from None
