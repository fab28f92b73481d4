"""Signed URLs as pure functions: our own for local files, and AWS Signature Version 4 for S3-compatible stores.

Both are signed for a time rounded to half the lifetime, so that a URL stays the same for a while, on every process:
browsers cache by URL. botocore could presign too, but stamps each URL with the present second, takes 150 us or more
on the event loop, and needs its client to be loaded first.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from domain.pictures import SignedUrl
from domain.ports import Clock

_MAX_REMEMBERED = 20_000


class UrlCache:
    """Remembers the URLs of the running half lifetime. `sign` gets a key and the half's first second (Unix time)."""

    def __init__(self, sign: Callable[[str, int], str], ttl_s: int, clock: Clock) -> None:
        if ttl_s < 2:  # noqa: PLR2004 - two halves of a second at least
            raise ValueError("A URL must live for at least 2 seconds")
        self._sign = sign
        self._half_s = ttl_s // 2
        self._clock = clock
        self._began_s = 0
        self._urls: dict[str, SignedUrl] = {}

    def url(self, key: str) -> SignedUrl:
        """A URL with at least half its lifetime left."""
        now_s = int(self._clock.now().timestamp())
        if not self._began_s <= now_s < self._began_s + self._half_s or len(self._urls) >= _MAX_REMEMBERED:
            self._began_s = now_s - now_s % self._half_s
            self._urls = {}
        known = self._urls.get(key)
        if known is None:
            expires_at = datetime.fromtimestamp(self._began_s + 2 * self._half_s, UTC)
            known = self._urls[key] = SignedUrl(self._sign(key, self._began_s), expires_at)
        return known


@dataclass(frozen=True, slots=True)
class FileSigner:
    """Signs and checks the URLs of local files."""

    secret: bytes = field(repr=False)

    def sign(self, key: str, expires_s: int) -> str:
        """The signature that lets `key` be read until `expires_s` (Unix time)."""
        digest = hmac.digest(self.secret, f"file\n{expires_s}\n{key}".encode(), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def verify(self, key: str, expires_s: int, signature: str, now: datetime) -> bool:
        """Whether the signature is ours and not yet expired."""
        is_ours = hmac.compare_digest(self.sign(key, expires_s).encode(), signature.encode())
        return is_ours and now.timestamp() < expires_s


@dataclass(frozen=True, slots=True)
class S3Signer:
    """Presigns GETs. `base_url` leads to the bucket, without a slash at its end.

    Source: docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html (2026-11).
    """

    base_url: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    def sign(self, key: str, signed_s: int, ttl_s: int) -> str:
        """The URL that lets `key` be read for `ttl_s` from `signed_s` (Unix time) on."""
        stamp = datetime.fromtimestamp(signed_s, UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        query = (
            f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={quote(f'{self.access_key_id}/{scope}', safe='')}"
            f"&X-Amz-Date={stamp}&X-Amz-Expires={ttl_s}&X-Amz-SignedHeaders=host"
        )
        base = urlsplit(self.base_url)
        request = f"GET\n{base.path}/{key}\n{query}\nhost:{base.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = hmac.new(
            self._signing_key(stamp[:8]), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), "sha256"
        ).hexdigest()
        return f"{self.base_url}/{key}?{query}&X-Amz-Signature={signature}"

    def _signing_key(self, day: str) -> bytes:
        signing_key = f"AWS4{self.secret_access_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            signing_key = hmac.digest(signing_key, part.encode(), "sha256")
        return signing_key
