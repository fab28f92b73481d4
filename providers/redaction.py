"""What a vendor said, made fit for an admin to read: no keys, no prompts, no addresses, no picture data, and short.

Pure; errs on the side of leaving out. What is left out becomes an ellipsis, which is part of no key.
"""

import re
from urllib.parse import unquote

MAX_DETAIL_CHARS = 300
MAX_SAID_CHARS = 2_000
"""No more of an answer is looked at."""

GAP = "\u2026"
KEY_PIECE_CHARS = 8
PROMPT_PIECE_CHARS = 20

_TAG = re.compile(r"<[^<>]*>")
_SECRETS = re.compile(
    r"""
    data:\S*                                                      # pictures
    | (?<!\S)\S*(?:://|@|\?\S*=)\S*                             # addresses
    | (?:bearer|basic|(?:key|token)\ provided:?)\s+\S+            # what is called a key, whatever it looks like
    | (?:key|token|secret|password|authorization)["']?\s*[:=]\s*(?:(?:bearer|basic)\s+)?\S+
    | \b(?:sk|pk|rk|key|xai|gab|gsk|hf|ghp|api|org|proj)[-_][^\s"',;]*  # the prefixes of vendors' keys
    | \bAIza\S*
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TOKEN = re.compile(r"[\w+/=*.~-]{12,}")
_PART_OF_TOKEN = re.compile(r"[a-zA-Z0-9]{12,}")
MAX_WORD_CHARS = 40
_GAPS = re.compile(f"{GAP}(?:[\\s\"'(),.;:]*{GAP})+")


def redacted(said: str, *, key: str, prompt: str) -> str | None:
    """The vendor's words without secrets, or None when nothing is left to read."""
    text = _SECRETS.sub(GAP, _plain(_TAG.sub(" ", unquote(_whole_words(said)))))
    text = _TOKEN.sub(lambda found: GAP if _is_secret(found[0]) else found[0], text)
    text = _without(text, prompt, PROMPT_PIECE_CHARS)
    # Last, because nothing that comes after may put the pieces of a key together again.
    text = _without(text, key, KEY_PIECE_CHARS)
    text = _GAPS.sub(GAP, text)
    if len(text) > MAX_DETAIL_CHARS:
        text = text[: MAX_DETAIL_CHARS - 1] + GAP
    return text if text.strip(f"{GAP} ") else None


def _whole_words(said: str) -> str:
    """The beginning, without a last word that was cut in two: half a secret looks like none."""
    if len(said) <= MAX_SAID_CHARS:
        return said
    return said[:MAX_SAID_CHARS].rpartition(" ")[0]


def _is_secret(token: str) -> bool:
    """Whether it is picture data, or has a long stretch of letters with digits among them: no word looks so."""
    parts = _PART_OF_TOKEN.findall(token)
    return len(token) > MAX_WORD_CHARS or any(not (part.isalpha() or part.isdecimal()) for part in parts)


def _plain(text: str) -> str:
    """On one line, and without characters that can't be seen."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _without(text: str, secret: str, piece_chars: int) -> str:
    """The text, with a gap for every stretch that repeats `piece_chars` characters of the secret, in any case."""
    hidden, shown = _folded(_plain(secret)), _folded(text)
    size = min(piece_chars, len(hidden))
    pieces = {hidden[start : start + size] for start in range(len(hidden) - size + 1)} if size else set()
    covered = bytearray(len(text))
    for start in range(len(shown) - size + 1):
        if shown[start : start + size] in pieces:
            covered[start : start + size] = b"\1" * size
    kept = (char if not covered[at] else GAP for at, char in enumerate(text))
    return re.sub(f"{GAP}+", GAP, "".join(kept))


def _folded(text: str) -> str:
    """In lower case, with as many characters as before."""
    return "".join(char.lower()[0] for char in text)
