"""Sealing secrets with AES-256-GCM, each for one purpose alone, so that whoever reads the database reads none.

A sealed secret is `v1.<id of the master key>.<nonce>.<ciphertext>`, nonce and ciphertext in Base64 for URLs, unpadded.
cryptography is imported where it is first used: it is slow to import.
"""

import json
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence

from domain.errors import Conflict
from domain.ports import Unopenable

_VERSION = "v1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


class AesVault:
    """Implements the port `Vault`. Of the master keys, by their ids, the first seals and every one opens."""

    def __init__(self, master_keys: Mapping[str, bytes]) -> None:
        self._master_keys = dict(master_keys)
        self._newest = next(iter(self._master_keys), None)

    @property
    def can_seal(self) -> bool:
        """Whether there is any master key."""
        return self._newest is not None

    def seal(self, secret: str, bound_to: Sequence[str]) -> str:
        """The secret under a nonce of its own: sealed twice, it looks another."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if self._newest is None:
            raise Conflict("This server keeps no keys: its operator has to set MASTER_KEYS")
        nonce = os.urandom(_NONCE_BYTES)
        cipher = AESGCM(self._master_keys[self._newest])
        ciphertext = cipher.encrypt(nonce, secret.encode(), _associated(self._newest, bound_to))
        return ".".join((_VERSION, self._newest, _encoded(nonce), _encoded(ciphertext)))

    def open(self, sealed: str, bound_to: Sequence[str]) -> str:
        """The secret, with any of the master keys."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            # The version is part of what was sealed: another one doesn't open.
            version, key_id, nonce, ciphertext = sealed.split(".")
            cipher = AESGCM(self._master_keys[key_id])
            associated = _associated(key_id, bound_to, version)
            return cipher.decrypt(_decoded(nonce), _decoded(ciphertext), associated).decode()
        except (InvalidTag, KeyError, ValueError):
            raise Unopenable from None

    def is_newest(self, sealed: str) -> bool:
        """By the id of the master key."""
        return self._newest is not None and sealed.startswith(f"{_VERSION}.{self._newest}.")


def parse_master_keys(text: str) -> dict[str, bytes]:
    """The master keys of `id:key` parts, separated by commas. Raises ValueError in words that quote nothing of it."""
    keys: dict[str, bytes] = {}
    for number, part in enumerate(text.split(","), 1):
        key_id, _, encoded = part.strip().partition(":")
        _check_id(key_id, f"the id of key {number}")
        if key_id in keys:
            raise ValueError(f"key {number} has the id of another one")
        try:
            keys[key_id] = _decoded(encoded.rstrip("="))
        except ValueError:
            raise ValueError(f"key {number} is not Base64 as URLs have it") from None
        if len(keys[key_id]) != _KEY_BYTES:
            raise ValueError(f"key {number} must have {_KEY_BYTES} bytes")
    return keys


def new_master_key(key_id: str) -> str:
    """A new master key as `parse_master_keys` takes it. Raises ValueError."""
    _check_id(key_id, "the id")
    return f"{key_id}:{_encoded(os.urandom(_KEY_BYTES))}"


def _check_id(key_id: str, what: str) -> None:
    if not _KEY_ID.fullmatch(key_id):
        raise ValueError(f"{what} must be 1 to 32 letters, digits, hyphens or underscores")


def _associated(key_id: str, bound_to: Sequence[str], version: str = _VERSION) -> bytes:
    """What must be the same on opening. As JSON no two lists of texts are alike."""
    return json.dumps([version, key_id, *bound_to], ensure_ascii=False).encode()


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """The bytes. Raises ValueError, also for what means the same bytes but isn't how they are written."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encoded(data) != text:
        raise ValueError("not Base64 as it is written here")
    return data
