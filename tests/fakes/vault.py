"""A vault whose seals anybody could break; it is as strict as the real one about what a secret is bound to."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from domain.errors import Conflict
from domain.ports import Unopenable


class FakeVault:
    """Secrets in Base64. `masters` are the master keys it has, the newest first: take one away, and its seals are lost."""

    def __init__(self, *masters: str) -> None:
        self.masters = list(masters or ("first",))

    def seal(self, secret: str, bound_to: Sequence[str]) -> str:
        """The secret, so that no search for it finds it."""
        if not self.masters:
            raise Conflict("This server keeps no keys: its operator has to set MASTER_KEYS")
        return urlsafe_b64encode(json.dumps([self.masters[0], list(bound_to), secret]).encode()).decode()

    def open(self, sealed: str, bound_to: Sequence[str]) -> str:
        """The secret."""
        master, bound, secret = self._read(sealed)
        if master not in self.masters or bound != list(bound_to):
            raise Unopenable
        return secret

    def is_newest(self, sealed: str) -> bool:
        """By the name of the master key."""
        return self._read(sealed)[0] == self.masters[0]

    def _read(self, sealed: str) -> tuple[str, list[str], str]:
        try:
            master, bound, secret = json.loads(urlsafe_b64decode(sealed))
        except ValueError:
            raise Unopenable from None
        return master, bound, secret
