"""What the rules need from the world outside: storage, pictures, secrets, jobs, the bus and the clock."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO, Protocol
from uuid import UUID

from domain.pictures import EncodedPicture, PictureFacts, PictureLimits, SignedUrl, Variants
from domain.tokens import TokenClaims

if TYPE_CHECKING:
    from domain.generations import GenerationEvent


class Clock(Protocol):
    """Where the time comes from; tests set it."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""


class ObjectStore(Protocol):
    """Bytes by key. Every method raises StoreUnavailable when the store can't be reached."""

    async def put(self, key: str, body: BinaryIO | bytes, media_type: str) -> None:
        """Store or replace an object whole, streaming from the body's present position; checked on arrival."""

    async def get(self, key: str, max_bytes: int) -> bytes:
        """An object's bytes. Raises ObjectMissing, and StoreUnavailable when it is larger than `max_bytes`."""

    async def exists(self, key: str) -> bool:
        """Whether the object is there."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that aren't there count as removed."""

    def keys(self, prefix: str) -> AsyncIterator[str]:
        """The keys that start with `prefix`."""

    def url(self, key: str) -> SignedUrl:
        """An absolute URL for reading, minted without a round trip; equal for a while, so that browsers cache."""

    async def check(self) -> None:
        """Write, read and remove a small object. Raises StoreUnavailable with what is wrong, in words."""

    async def aclose(self) -> None:
        """Let go of connections."""


class Imaging(Protocol):
    """Looking into pictures and making smaller ones; never on the event loop."""

    async def take_in(self, body: BinaryIO, limits: PictureLimits) -> tuple[PictureFacts, Variants]:
        """Prove the bytes a whole picture within the limits, header first, and make its variants, with one decode.

        The 600, 300 and 100 px pictures (longest side, never enlarged) are upright, without metadata. Rewinds the
        body. Raises InvalidImage with its reason.
        """

    async def for_provider(self, data: bytes, max_side_px: int) -> EncodedPicture:
        """A reference as providers get it: JPEG, or PNG where it has transparency; upright, no metadata, shrunk.

        Raises InvalidImage.
        """

    async def preview(self, data: bytes, limits: PictureLimits, max_side_px: int) -> EncodedPicture:
        """A partial picture, checked and made small. Raises InvalidImage."""


class Fetcher(Protocol):
    """Getting pictures from addresses that others name."""

    async def fetch(self, url: str, max_bytes: int) -> bytes:
        """What is at the address, if it looks like a picture. Nothing that isn't public is connected to.

        Raises FetchRefused in words that tell nothing of what is at the address, and InvalidImage.
        """


class Unopenable(Exception):
    """A sealed secret can't be opened: its master key isn't here, or it isn't what was sealed."""


class Vault(Protocol):
    """Sealing secrets, so that whoever reads the database reads none."""

    def seal(self, secret: str, bound_to: Sequence[str]) -> str:
        """The secret, sealed with the newest master key; it opens for the same `bound_to` alone.

        Raises Conflict when this server has no master key.
        """

    def open(self, sealed: str, bound_to: Sequence[str]) -> str:
        """The secret. Raises Unopenable."""

    def is_newest(self, sealed: str) -> bool:
        """Whether it was sealed with the newest master key."""


class EventBus(Protocol):
    """Hands the events of generations to whoever follows them. The stored rows are the truth; this only hurries."""

    def publish(self, event: "GenerationEvent", owner_id: UUID) -> None:
        """Wake who follows the generation, or all of its owner's, after the event's row was committed."""

    def follow(self, generation_id: UUID, after: int) -> AsyncGenerator["GenerationEvent", None]:
        """Every event numbered above `after`, each once and in order; ends after the terminal one."""

    def follow_all(self, owner_id: UUID) -> AsyncGenerator["GenerationEvent", None]:
        """Every event from now on of all the owner's generations, each once, in order for each; ends never."""


class Jobs(Protocol):
    """What the job engine knows of jobs, and what it is told of them."""

    async def unfinished(self, generation_ids: Sequence[UUID]) -> set[UUID]:
        """Those of the generations whose job waits, runs, or will be taken up again."""

    async def cancel(self, generation_id: UUID) -> None:
        """Take the job out of the line, or stop it within a second or so, wherever it runs."""

    async def forget(self, ended_before: datetime) -> int:
        """Drop what is known of jobs that ended before the moment. Returns how many there were."""


class PasswordHasher(Protocol):
    """Passwords as the database keeps them; slow on purpose, so never on the event loop."""

    async def hash(self, password: str) -> str:
        """A salted hash that carries its own parameters."""

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password is the hashed one; None (an unknown user) takes as long and is never right."""


class TokenIssuer(Protocol):
    """Where bearer tokens come from."""

    def issue(self, user_id: UUID, community_id: UUID, ttl: timedelta) -> tuple[str, datetime]:
        """A new token and when it expires."""


class TokenVerifier(Protocol):
    """Who a bearer token speaks for."""

    async def verify(self, token: str) -> TokenClaims:
        """The claims of a valid token. Raises Unauthenticated with what is wrong with it."""
