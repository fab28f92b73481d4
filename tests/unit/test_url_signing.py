"""Signed URLs: stable for a while, cheap, and the same ones that botocore would make."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType
from urllib.parse import parse_qs, urlsplit

import pytest

from storage.objects.s3 import S3ObjectStore, S3Settings
from storage.objects.s3_client import connect
from storage.objects.signing import FileSigner, S3Signer, UrlCache
from tests.fakes.clock import FakeClock

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def test_the_example_of_the_aws_manual() -> None:
    """The presigned GET of the S3 API reference comes out letter by letter."""
    signer = S3Signer("https://examplebucket.s3.amazonaws.com", "us-east-1", "AKIAIOSFODNN7EXAMPLE", SECRET)
    assert signer.sign("test.txt", int(datetime(2013, 5, 24, tzinfo=UTC).timestamp()), 86400) == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("endpoint", [None, "http://minio.test:9000", "https://store.test/"])
def test_botocore_would_make_the_same_url(style: str, endpoint: str | None) -> None:
    """Signed for the second that botocore chose, ours is equal, for every way to address a bucket."""
    settings = S3Settings(
        "pictures",
        "eu-west-1",
        "AKIATEST",
        SECRET,
        endpoint_url=endpoint,
        addressing_style="path" if style == "path" else "virtual",
    )
    client = connect(settings)
    key = "0b0c/images/a_600.webp"
    theirs = client.generate_presigned_url("get_object", {"Bucket": "pictures", "Key": key}, ExpiresIn=900)
    client.close()
    stamp = parse_qs(urlsplit(theirs).query)["X-Amz-Date"][0]
    signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert settings.signer(endpoint).sign(key, int(signed_at.timestamp()), 900) == theirs


def test_urls_change_each_half_lifetime_and_keep_the_other_half() -> None:
    """Within one half hour a URL stays the same, then a new one comes, always with half an hour left at least."""
    clock = FakeClock(datetime(2026, 11, 20, 12, 0, tzinfo=UTC))
    urls = UrlCache(lambda key, began_s: f"{key}@{began_s}", 3600, clock)
    first = urls.url("a")
    assert first.expires_at == datetime(2026, 11, 20, 13, 0, tzinfo=UTC)
    clock.advance(1799.9)
    assert urls.url("a") is first
    clock.advance(0.1)
    second = urls.url("a")
    assert second.url != first.url
    assert second.expires_at == datetime(2026, 11, 20, 13, 30, tzinfo=UTC)
    clock.advance(-60)
    assert urls.url("a") == first


def test_every_process_makes_the_same_url() -> None:
    """Two servers that started at different times agree on the URL of the half hour."""
    settings = S3Settings("pictures", "eu-west-1", "AKIATEST", SECRET)
    one = S3ObjectStore(settings, FakeClock(datetime(2026, 11, 20, 12, 1, tzinfo=UTC)))
    two = S3ObjectStore(settings, FakeClock(datetime(2026, 11, 20, 12, 29, tzinfo=UTC)))
    assert one.url("a.png") == two.url("a.png")


def test_remembered_urls_are_bounded() -> None:
    """The cache forgets rather than grows; the URLs stay the same."""
    urls = UrlCache(lambda key, began_s: f"{key}@{began_s}", 3600, FakeClock())
    first = urls.url("0")
    for number in range(50_000):
        urls.url(str(number))
    assert len(urls._urls) <= 20_000
    assert urls.url("0") == first


def test_urls_must_live_long_enough_to_be_halved() -> None:
    """A lifetime of a second can't be rounded."""
    with pytest.raises(ValueError, match="at least 2 seconds"):
        UrlCache(lambda key, began_s: f"{key}@{began_s}", 1, FakeClock())


def calls_of(work: Callable[[], object]) -> int:
    """How many Python functions the work calls."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def test_minting_is_cheap() -> None:
    """A new presigned URL takes some twenty calls, a remembered one a few."""
    store = S3ObjectStore(S3Settings("pictures", "eu-west-1", "AKIATEST", SECRET), FakeClock())
    store.url("community/images/0.png")
    assert calls_of(lambda: store.url("community/images/1.png")) < 40
    assert calls_of(lambda: store.url("community/images/1.png")) < 10


def test_a_public_prefix_needs_no_signature() -> None:
    """With a public prefix the URL is prefix and key, and never expires."""
    settings = S3Settings("pictures", "eu-west-1", "AKIATEST", SECRET, public_url_prefix="https://cdn.test/media/")
    url = S3ObjectStore(settings, FakeClock()).url("a/b.png")
    assert (url.url, url.expires_at) == ("https://cdn.test/media/a/b.png", None)


def test_browsers_may_be_led_to_another_endpoint() -> None:
    """Presigned URLs name the public endpoint, not the one the server itself uses."""
    settings = S3Settings(
        "pictures", "eu-west-1", "AKIATEST", SECRET, "http://minio:9000", public_endpoint_url="https://s3.test"
    )
    assert S3ObjectStore(settings, FakeClock()).url("a.png").url.startswith("https://s3.test/pictures/a.png?X-Amz-")


def test_secrets_stay_out_of_reprs() -> None:
    """What ends up in a traceback or a log shows no key."""
    settings = S3Settings("pictures", "eu-west-1", "AKIATEST", SECRET)
    assert SECRET not in f"{settings!r}{settings.signer(None)!r}{FileSigner(SECRET.encode())!r}"


def test_a_file_signature_holds_for_one_key_and_one_expiry() -> None:
    """Neither the key nor the expiry can be changed, and the last second counts."""
    signer, now = FileSigner(b"secret"), datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    expires_s = int(now.timestamp()) + 60
    signature = signer.sign("a.png", expires_s)
    assert signer.verify("a.png", expires_s, signature, now)
    assert signer.verify("a.png", expires_s, signature, now + timedelta(seconds=59.9))
    assert not signer.verify("a.png", expires_s, signature, now + timedelta(seconds=60))
    assert not signer.verify("b.png", expires_s, signature, now)
    assert not signer.verify("a.png", expires_s + 1, signature, now)
    assert not FileSigner(b"other").verify("a.png", expires_s, signature, now)
