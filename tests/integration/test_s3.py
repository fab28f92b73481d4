"""What an S3-compatible store can answer beside success, and what is said about it."""

import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from domain.errors import ObjectMissing, StoreUnavailable
from storage.objects.s3 import S3ObjectStore, S3Settings
from tests.fakes.clock import FakeClock
from tests.s3_server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, canned, free_port, moto, s3_settings


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Settings]:
    """A server with one bucket."""
    with moto("pictures") as settings:
        yield settings


def problem(code: str) -> bytes:
    """An error as S3 words it."""
    return f"<Error><Code>{code}</Code><Message>about {SECRET_ACCESS_KEY}</Message></Error>".encode()


async def said_by_check(settings: S3Settings) -> str:
    """What the operator reads."""
    store = S3ObjectStore(settings, FakeClock())
    with pytest.raises(StoreUnavailable) as caught:
        await store.check()
    await store.aclose()
    assert not isinstance(caught.value, ObjectMissing)
    return caught.value.message


async def test_a_missing_bucket_is_named(s3: S3Settings) -> None:
    """The real server's answer about a bucket that isn't there."""
    assert await said_by_check(replace(s3, bucket="elsewhere")) == "The bucket elsewhere does not exist."


async def test_an_unreachable_endpoint_is_said_to_be_unreachable() -> None:
    """Nobody listens there."""
    settings = replace(s3_settings("pictures", f"http://127.0.0.1:{free_port()}"), max_attempts=1)
    assert await said_by_check(settings) == "The object store can't be reached."


async def test_a_wrong_endpoint_is_not_a_url() -> None:
    """A host without a scheme can't be called."""
    assert (
        await said_by_check(s3_settings("pictures", "minio:9000")) == "The object store's endpoint is not a valid URL."
    )


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "InvalidAccessKeyId", "The object store does not know the access key."),
        (403, "SignatureDoesNotMatch", "The object store refuses the secret access key."),
        (403, "AccessDenied", "The access key may not do this in the bucket pictures."),
        (400, "AuthorizationHeaderMalformed", f"The bucket pictures is not in the region {REGION}."),
        (301, "PermanentRedirect", f"The bucket pictures is not in the region {REGION}."),
        (403, "RequestTimeTooSkewed", "The server's clock differs too much from the object store's."),
        (400, "BadDigest", "The object was damaged on its way to the store."),
        (503, "SlowDown", "The object store is too busy."),
        (500, "SomethingNew", "The object store answered with an error."),
    ],
)
async def test_a_refusal_is_explained(status: int, code: str, words: str) -> None:
    """Each of the store's codes has its words, and the store's own text is never repeated."""
    with canned((status, problem(code))) as server:
        assert await said_by_check(replace(s3_settings("pictures", server.url), max_attempts=1)) == words


async def test_urls_that_browsers_could_not_use_fail_the_check() -> None:
    """A store that takes our writes but refuses a presigned URL is not in order."""
    with canned((200, b""), (200, b"Atelier was here."), (403, problem("SignatureDoesNotMatch"))) as server:
        words = await said_by_check(s3_settings("pictures", server.url))
    assert words == "The object store refuses presigned URLs. Check the region, the addressing style and the clock."


async def test_a_silent_store_is_given_up() -> None:
    """The read timeout ends the wait."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = s3_settings("pictures", f"http://127.0.0.1:{silent.getsockname()[1]}")
        store = S3ObjectStore(replace(settings, read_timeout_s=0.2, max_attempts=1), FakeClock())
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            await store.exists("a.png")
        await store.aclose()


async def test_a_repeated_upload_sends_the_same_bytes() -> None:
    """After a failure, what is sent again begins where the file stood, not at its start."""
    body = io.BytesIO(b"header|picture")
    body.seek(7)
    with canned((503, problem("SlowDown")), (200, b"")) as server:
        store = S3ObjectStore(s3_settings("pictures", server.url), FakeClock())
        await store.put("a.png", body, "image/png")
        await store.aclose()
    assert server.bodies == [b"picture", b"picture"]


async def test_objects_that_were_kept_fail_the_deletion() -> None:
    """S3 answers 200 to a deletion that deleted nothing; that is an error all the same."""
    reply = b"<DeleteResult><Error><Key>a.png</Key><Code>AccessDenied</Code></Error></DeleteResult>"
    with canned((200, reply)) as server:
        store = S3ObjectStore(s3_settings("pictures", server.url), FakeClock())
        with pytest.raises(StoreUnavailable, match="kept 1 of 2 objects"):
            await store.delete(["a.png", "b.png"])
        await store.aclose()


async def test_a_thousand_objects_are_deleted_per_request() -> None:
    """S3 takes no more at once."""
    with canned((200, b"<DeleteResult/>")) as server:
        store = S3ObjectStore(s3_settings("pictures", server.url), FakeClock())
        await store.delete([f"{number}.png" for number in range(2001)])
        await store.aclose()
    assert [body.count(b"<Key>") for body in server.bodies] == [1000, 1000, 1]


async def test_secrets_are_in_no_message() -> None:
    """Neither the error nor what it was raised from shows a key."""
    with canned((403, problem("AccessDenied"))) as server:
        store = S3ObjectStore(replace(s3_settings("pictures", server.url), max_attempts=1), FakeClock())
        with pytest.raises(StoreUnavailable) as caught:
            await store.put("a.png", b"x", "image/png")
        await store.aclose()
    assert SECRET_ACCESS_KEY not in caught.value.message
    assert ACCESS_KEY_ID not in caught.value.message


def test_boto3_is_imported_by_the_first_call_only() -> None:
    """Importing the store, and minting a URL with it, leaves boto3, botocore, Pillow, jwt and argon2 out."""
    program = """
import sys
import storage.credentials, storage.imaging, storage.objects.local
from datetime import UTC, datetime
from storage.objects.s3 import S3ObjectStore, S3Settings
class Clock:
    def now(self): return datetime.now(UTC)
S3ObjectStore(S3Settings("b", "r", "k", "s"), Clock()).url("a.png")
print(sorted({"boto3", "botocore", "PIL", "pillow_heif", "jwt", "argon2"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
