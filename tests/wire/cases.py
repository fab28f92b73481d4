"""What a dialect is: the cases that a vendor can answer with, and how references are found in what it was sent."""

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from domain.failures import FailureCode
from domain.providers import Access, ImageProvider
from providers.outbound import Outbound
from tests.wire.server import Answer, Ending, Received, json_answer, text_answer

F = FailureCode


class Told(NamedTuple):
    """One form of an answer, and what is made of it: the failure's code, and whether it may have been charged."""

    answer: Answer
    code: FailureCode
    is_charged: bool = False


@dataclass(frozen=True)
class Dialect:
    """How one vendor speaks. `path` ends the address that its adapter is given, `key` is its credential.

    `credential` is the header that carries the key. `references` finds the bytes of the reference pictures in a request,
    in order; None where none are taken. `failures` has the vendor's own forms of each case. `is_paid` is False where
    nothing is ever charged. `begun` is the beginning of an answer whose picture is there before its end.
    """

    provider: Callable[[Access, Outbound, float], ImageProvider]
    model: str
    picture: Answer
    references: Callable[[Received], Awaitable[Sequence[bytes]]] | None
    failures: Mapping[str, Sequence[Told]]
    path: str = "/v1"
    key: str = "own-key-0123456789abcdef"
    is_paid: bool = True
    begun: Answer | None = None
    credential: Callable[[str], tuple[str, str]] = field(default=lambda key: ("authorization", f"Bearer {key}"))

    def connected(self, url: str, timeout_s: float = 5) -> ImageProvider:
        """The adapter, pointed at a server of ours."""
        return self.provider(Access(self.key, url + self.path, is_trusted=True), Outbound(), timeout_s)

    def cases(self) -> dict[str, Sequence[Told]]:
        """Every case with its forms, those of this vendor alone and those that every vendor can meet."""
        return {**self.failures, **self._of_every_vendor()}

    def _of_every_vendor(self) -> dict[str, Sequence[Told]]:
        return {
            "gateway lost": (
                Told(text_answer("<html>Bad gateway</html>", 502), F.PROVIDER_UNAVAILABLE, self.is_paid),
                Told(text_answer("<html>Timed out</html>", 504), F.TIMEOUT, self.is_paid),
            ),
            "another's words": (
                Told(json_answer({"error": {"message": "It violates our usage policies."}}, 400), F.REFUSED_INPUT),
                Told(json_answer({"error": {"message": "No", "code": "content_filter"}}, 403), F.REFUSED_INPUT),
            ),
            "unreadable": (
                *(Told(text_answer(text, 400, "application/json"), F.INVALID_REQUEST) for text in UNREADABLE),
                *(Told(text_answer(text, 401, "application/json"), F.INVALID_KEY) for text in UNREADABLE),
                *(
                    Told(text_answer(text, 200, "application/json"), F.BAD_RESPONSE, self.is_paid)
                    for text in UNREADABLE
                ),
                Told(text_answer('{"data": 1e999}', 200, "application/json"), F.EMPTY_RESULT, self.is_paid),
                Told(text_answer('{"error": {"code": 1e999}}', 400, "application/json"), F.INVALID_REQUEST),
            ),
            "redirect": (Told(Answer(302, (), {"location": "/elsewhere"}), F.BAD_RESPONSE),),
            "cut short": tuple(
                Told(replace(self.begun or self.picture, ending=ending), F.PROVIDER_UNAVAILABLE, self.is_paid)
                for ending in (Ending.CUT, Ending.RESET)
            ),
        }


UNREADABLE = ('{"error":' * 50_000 + "{}" + "}" * 50_000, '{"error": {"code": ' + "1" * 5_000 + "}}")
"""JSON that Python doesn't read: nested too deeply, and with a number of too many digits."""

CASES = (
    "refused prompt",
    "refused picture",
    "wrong key",
    "not allowed",
    "no credit",
    "rate limit",
    "bad request",
    "model gone",
    "unavailable",
    "broken 200",
    "no picture",
    "another's words",
    "gateway lost",
    "unreadable",
    "redirect",
    "cut short",
)
"""The columns, in order. A vendor that has no such answer leaves the case out."""


async def uploads(request: Received) -> list[bytes]:
    """The pictures of a multipart form."""
    form = await request.form()
    found = [await each.read() for _, each in form.multi_items() if not isinstance(each, str)]
    await form.close()
    return found


def data_uris(name: str) -> Callable[[Received], Awaitable[list[bytes]]]:
    """The pictures of a JSON body's list of that name."""

    async def found(request: Received) -> list[bytes]:
        return [base64.b64decode(each["url"].partition(";base64,")[2]) for each in request.json[name]]

    return found


async def inline_data(request: Received) -> list[bytes]:
    """The pictures among Google's parts, whose base64 is that of addresses."""
    _, *parts = request.json["contents"][0]["parts"]
    return [base64.urlsafe_b64decode(part["inlineData"]["data"]) for part in parts]


async def message_pictures(request: Received) -> list[bytes]:
    """The pictures of a chat's message."""
    _, *parts = request.json["messages"][0]["content"]
    return [base64.b64decode(part["image_url"]["url"].partition(";base64,")[2]) for part in parts]


async def base64_images(request: Received) -> list[bytes]:
    """The pictures of a JSON body's `images`."""
    return [base64.b64decode(text) for text in request.json["images"]]
