"""What a valid bearer token says about its holder, whoever issued it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The claims of one token. `is_external` means another issuer's: `subject` is then that issuer's id, not ours."""

    subject: str
    community: str
    issued_at: datetime
    expires_at: datetime
    email: str | None
    name: str | None
    is_admin: bool
    is_external: bool
