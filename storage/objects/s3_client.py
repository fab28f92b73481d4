"""Where boto3 is imported: making a client, and one table from botocore's errors to words for the operator."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
from botocore import exceptions
from botocore.config import Config

from domain.errors import ObjectMissing, StoreUnavailable

if TYPE_CHECKING:
    from storage.objects.s3 import S3Settings

_MISSING = frozenset({"NoSuchKey", "NotFound", "404"})
_BY_CODE = {
    "NoSuchBucket": "The bucket {bucket} does not exist.",
    "InvalidBucketName": "{bucket} can't be the name of a bucket.",
    "AccessDenied": "The access key may not do this in the bucket {bucket}.",
    "403": "The access key may not do this in the bucket {bucket}.",
    "InvalidAccessKeyId": "The object store does not know the access key.",
    "SignatureDoesNotMatch": "The object store refuses the secret access key.",
    "ExpiredToken": "The object store's credentials have expired.",
    "AuthorizationHeaderMalformed": "The bucket {bucket} is not in the region {region}.",
    "PermanentRedirect": "The bucket {bucket} is not in the region {region}.",
    "IllegalLocationConstraintException": "The bucket {bucket} is not in the region {region}.",
    "301": "The bucket {bucket} is not in the region {region}.",
    "RequestTimeTooSkewed": "The server's clock differs too much from the object store's.",
    "BadDigest": "The object was damaged on its way to the store.",
    "SlowDown": "The object store is too busy.",
    "503": "The object store is too busy.",
}
_BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.ConnectTimeoutError, "The object store can't be reached: connecting took too long."),
    (exceptions.ReadTimeoutError, "The object store did not answer in time."),
    (exceptions.SSLError, "The object store can't be reached: its certificate is not trusted."),
    (exceptions.ProxyConnectionError, "The object store can't be reached through the proxy."),
    (exceptions.ConnectionError, "The object store can't be reached."),
    (exceptions.HTTPClientError, "The connection to the object store broke."),
    (exceptions.IncompleteReadError, "The connection to the object store broke."),
    (exceptions.FlexibleChecksumError, "The object was damaged on its way from the store."),
)


def connect(settings: "S3Settings") -> Any:
    """A client: thread-safe, with its own session, and without anything from botocore's shared state."""
    session = boto3.session.Session(
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        region_name=settings.region,
    )
    config = Config(
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
        max_pool_connections=settings.max_parallel,
        signature_version="s3v4",
        s3={"addressing_style": settings.addressing_style},
        # The newer trailing checksums are unknown to many S3-compatible services; uploads carry an MD5 instead.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return session.client("s3", endpoint_url=settings.endpoint_url, config=config)
    except ValueError as error:
        raise StoreUnavailable("The object store's endpoint is not a valid URL.") from error


@contextmanager
def explaining(bucket: str, region: str) -> Iterator[None]:
    """Turn every error of botocore's into StoreUnavailable or ObjectMissing; its own text is never echoed."""
    try:
        yield
    except exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            raise ObjectMissing("The object is not in the store.") from error
        words = _BY_CODE.get(code, "The object store answered with an error.")
        raise StoreUnavailable(words.format(bucket=bucket, region=region)) from error
    except exceptions.BotoCoreError as error:
        words = next((words for kind, words in _BY_CLASS if isinstance(error, kind)), "The object store can't be used.")
        raise StoreUnavailable(words) from error
