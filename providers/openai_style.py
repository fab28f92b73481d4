"""What adapters share whose vendors speak as OpenAI does: the client, the list of models, and pictures in answers.

The SDK validates nothing in a 200, so what comes back is taken as plain JSON and checked here.
"""

import asyncio
import base64
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urljoin

from domain.failures import FailureCode, failure
from domain.providers import OutputFormat, Reference
from providers.errors import ErrorAnswered, NoPicture
from providers.remotes import WRONG_ADDRESS, RemoteProvider, decoded

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response
    from openai import AsyncOpenAI

_EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class OpenAIStyleProvider(RemoteProvider["AsyncOpenAI"]):
    """An adapter over OpenAI's SDK. Its address ends before the path of each call, such as `/images/generations`."""

    default_base_url: ClassVar[str | None] = None

    @property
    def _address(self) -> str | None:
        return self._base_url or self.default_base_url

    def _credentials(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._api_key}"} if self._api_key else {}

    def _client_over(self, http: "AsyncClient") -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        # Where httpx is installed too, this SDK looks into it at every answer once anybody has begun to import it:
        # half done, by google-genai in another thread, that would cost a picture that is paid for.
        with suppress(ImportError):
            import_module("httpx")
        return AsyncOpenAI(
            # The SDK wants a key also where none is needed; what is sent is said by the credentials alone.
            api_key=self._api_key or "none",
            base_url=self._address,
            timeout=http.timeout,
            # The SDK would send a second paid request after a lost answer.
            max_retries=0,
            http_client=http,
        )

    async def _offered(self, client: "AsyncOpenAI") -> Sequence[str] | None:
        answer = await client.models.with_raw_response.list()
        return [id for id in listed_ids(answer.content) if self._is_image_model(id)]

    def _is_image_model(self, id: str) -> bool:
        """Whether a model of the vendor's list makes images: any, unless an adapter knows better."""
        return True

    async def _picture(self, entry: object, request_id: str | None) -> bytes:
        """The bytes of one picture of an answer: `b64_json`, or `url`, which may be a data URI or lead elsewhere.

        Raises NoPicture unless they are there.
        """
        text, url = field(entry, "b64_json"), field(entry, "url")
        if isinstance(text, str) and text:
            return await decoded(text, request_id)
        if isinstance(url, str) and url:
            return await self._at(self._absolute(url), request_id)
        raise NoPicture(failure(FailureCode.EMPTY_RESULT, is_charged=True), request_id)

    def _absolute(self, url: str) -> str:
        """A server that doesn't know its own address names its pictures relative to it."""
        if not _ABSOLUTE.match(url):
            with suppress(ValueError):
                return urljoin(f"{self._address}/", url)
        return url


async def post(client: "AsyncOpenAI", path: str, body: Mapping[str, object]) -> "Response":
    """The plain answer to a call that the SDK has no method for, or one that asks for too much."""
    from httpx2 import Response

    return await client.post(path, cast_to=Response, body=body)


async def body_of(answer: "Response") -> object:
    """A 200's body as plain JSON. Raises ErrorAnswered when it speaks of an error instead of pictures."""
    body = await asyncio.to_thread(json.loads, await answer.aread())
    if field(body, "error") and not field(body, "data"):
        raise ErrorAnswered(answer.status_code, body, answer.headers)
    return body


def listed_ids(body: bytes, key: str = "data") -> list[str]:
    """The ids in a list of models. Raises NoPicture when it isn't one."""
    ids = [field(entry, "id") for entry in listed(body, key)]
    return [id for id in ids if isinstance(id, str)]


def listed(body: bytes, key: str) -> list[object]:
    """The entries of a list of models. Raises NoPicture when it isn't one."""
    entries = field(json.loads(body), key)
    if not isinstance(entries, list):
        raise NoPicture(failure(FailureCode.BAD_RESPONSE, WRONG_ADDRESS))
    return entries


def field(value: object, name: str) -> Any:
    """A field of what may be a JSON object."""
    return value.get(name) if isinstance(value, Mapping) else None


def first_picture(body: object, request_id: str | None) -> object:
    """The first entry of `data`. Raises NoPicture when there is none."""
    pictures = field(body, "data")
    if not isinstance(pictures, list) or not pictures:
        raise NoPicture(failure(FailureCode.EMPTY_RESULT, is_charged=True), request_id)
    return pictures[0]


def text_field(value: object, name: str) -> str | None:
    """A field, if it is a text."""
    found = field(value, name)
    return found if isinstance(found, str) else None


def output_format(chosen: OutputFormat | None) -> str | None:
    """How OpenAI calls a file format."""
    return None if chosen in (None, OutputFormat.ORIGINAL) else chosen.lower()


def files(references: Sequence[Reference]) -> list[tuple[str, bytes, str]]:
    """References for a multipart form: named and typed, because bare bytes go out as application/octet-stream."""
    return [
        (f"reference-{number}.{_EXTENSIONS.get(picture.media_type, 'bin')}", picture.data, picture.media_type)
        for number, picture in enumerate((reference.picture for reference in references), start=1)
    ]


def data_uri(reference: Reference) -> str:
    """A reference as a data URI, for JSON."""
    return f"data:{reference.picture.media_type};base64,{base64.b64encode(reference.picture.data).decode()}"
