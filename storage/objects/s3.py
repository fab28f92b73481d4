"""Objects in an S3-compatible service. boto3 blocks and is slow to import: it is loaded, and used, in threads only."""

import io
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any, BinaryIO, Literal, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from anyio import CapacityLimiter, to_thread

from domain.errors import ObjectMissing, StoreUnavailable
from domain.pictures import SignedUrl
from domain.ports import Clock
from storage.objects.keys import PIECE_BYTES, checked, checked_prefix, proof
from storage.objects.signing import S3Signer, UrlCache

_T = TypeVar("_T")
_DELETED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where the bucket is and how to get in; `endpoint_url` None means AWS.

    Browsers may have to reach the store by another name than we do: `public_endpoint_url` is then where presigned URLs
    lead. With `public_url_prefix` (a public bucket, a CDN) URLs are prefix and key, unsigned, and never expire.
    """

    bucket: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    public_url_prefix: str | None = None
    addressing_style: Literal["path", "virtual"] = "path"
    url_ttl_s: int = 3600
    connect_timeout_s: float = 5
    read_timeout_s: float = 30
    max_attempts: int = 3
    max_parallel: int = 16

    def signer(self, endpoint_url: str | None) -> S3Signer:
        """Presigns URLs that lead to the bucket at an endpoint."""
        endpoint = (endpoint_url or f"https://s3.{self.region}.amazonaws.com").rstrip("/")
        scheme, _, host = endpoint.partition("://")
        is_path = self.addressing_style == "path"
        base_url = f"{endpoint}/{self.bucket}" if is_path else f"{scheme}://{self.bucket}.{host}"
        return S3Signer(base_url, self.region, self.access_key_id, self.secret_access_key)


class S3ObjectStore:
    """A bucket as an object store."""

    def __init__(self, settings: S3Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._limiter = CapacityLimiter(settings.max_parallel)
        self._signer = settings.signer(settings.public_endpoint_url or settings.endpoint_url)
        self._urls = UrlCache(self._signed, settings.url_ttl_s, clock)
        self._client: Any = None
        self._connecting = threading.Lock()

    async def put(self, key: str, body: BinaryIO | bytes, media_type: str) -> None:
        """Stream the object up; the store compares what arrives with its MD5, which every S3 dialect understands."""
        rest = _Rest(io.BytesIO(body) if isinstance(body, bytes) else body)
        target = self._at(key)

        def work(client: Any) -> None:
            size_bytes, digest = rest.measure()
            client.put_object(**target, Body=rest, ContentLength=size_bytes, ContentMD5=digest, ContentType=media_type)

        await self._off_loop(work)

    async def get(self, key: str, max_bytes: int) -> bytes:
        """The object's bytes; a larger object is refused by its length, before it is read."""
        target = self._at(key)

        def work(client: Any) -> bytes:
            answer = client.get_object(**target)
            with closing(answer["Body"]) as body:
                if answer["ContentLength"] > max_bytes:
                    raise StoreUnavailable(f"The stored object is larger than {max_bytes:,} bytes.")
                data: bytes = body.read()
                return data

        return await self._off_loop(work)

    async def exists(self, key: str) -> bool:
        """Whether the object is there."""
        target = self._at(key)
        try:
            await self._off_loop(lambda client: client.head_object(**target))
        except ObjectMissing:
            return False
        return True

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, a thousand per request."""
        targets = [{"Key": checked(key)} for key in keys]
        for start in range(0, len(targets), _DELETED_AT_ONCE):
            await self._delete(targets[start : start + _DELETED_AT_ONCE])

    async def _delete(self, targets: Sequence[dict[str, str]]) -> None:
        request = {"Bucket": self._settings.bucket, "Delete": {"Objects": targets, "Quiet": True}}
        answer = await self._off_loop(lambda client: client.delete_objects(**request))
        if errors := answer.get("Errors"):
            raise StoreUnavailable(f"The object store kept {len(errors)} of {len(targets)} objects.")

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """The keys that start with `prefix`, one page per request."""
        query = {"Bucket": self._settings.bucket, "Prefix": checked_prefix(prefix)}
        while True:
            page = await self._off_loop(lambda client: client.list_objects_v2(**query))
            for entry in page.get("Contents", []):
                yield entry["Key"]
            if not page.get("IsTruncated"):
                return
            query["ContinuationToken"] = page["NextContinuationToken"]

    def url(self, key: str) -> SignedUrl:
        """A presigned URL, or the public one."""
        prefix = self._settings.public_url_prefix
        return SignedUrl(f"{prefix.rstrip('/')}/{checked(key)}", None) if prefix else self._urls.url(key)

    async def check(self) -> None:
        """Prove the bucket writable and readable, and presigned URLs good where they are used."""
        async with proof(self) as key:
            if self._settings.public_url_prefix is None:
                await to_thread.run_sync(self._check_presigned, key, limiter=self._limiter)

    async def aclose(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            await to_thread.run_sync(self._client.close, limiter=self._limiter)

    def _check_presigned(self, key: str) -> None:
        """Read a presigned URL ourselves: botocore silently mends a wrong region for its own calls, and only those."""
        signer = self._settings.signer(self._settings.endpoint_url)
        url = signer.sign(key, int(self._clock.now().timestamp()), ttl_s=60)
        try:
            with urlopen(url, timeout=self._settings.read_timeout_s) as answer:  # noqa: S310  # the operator's endpoint
                answer.read()
        except HTTPError as error:
            error.close()
            message = "The object store refuses presigned URLs. Check the region, the addressing style and the clock."
            raise StoreUnavailable(message) from None
        except (URLError, OSError):
            raise StoreUnavailable(
                "Presigned URLs lead nowhere. Check the endpoint and the addressing style."
            ) from None

    def _signed(self, key: str, began_s: int) -> str:
        return self._signer.sign(checked(key), began_s, self._settings.url_ttl_s // 2 * 2)

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._settings.bucket, "Key": checked(key)}

    async def _off_loop(self, work: Callable[[Any], _T]) -> _T:
        def run() -> _T:
            from storage.objects import s3_client

            with s3_client.explaining(self._settings.bucket, self._settings.region):
                return work(self._connected())

        return await to_thread.run_sync(run, limiter=self._limiter)

    def _connected(self) -> Any:
        from storage.objects import s3_client

        with self._connecting:
            if self._client is None:
                self._client = s3_client.connect(self._settings)
            return self._client


class _Rest:
    """What is left of a file, as a file of its own: botocore rewinds to 0 before it sends a body again."""

    def __init__(self, body: BinaryIO) -> None:
        self._body = body
        self._start = body.tell()

    def measure(self) -> tuple[int, str]:
        """Length in bytes and base64 MD5."""
        digest = md5(usedforsecurity=False)
        while piece := self._body.read(PIECE_BYTES):
            digest.update(piece)
        size_bytes = self.tell()
        self.seek(0)
        return size_bytes, b64encode(digest.digest()).decode()

    def read(self, size: int = -1) -> bytes:
        return self._body.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._body.seek(offset + self._start if whence == io.SEEK_SET else offset, whence) - self._start

    def tell(self) -> int:
        return self._body.tell() - self._start
