"""Tags: what an image is about, as a kind and a value."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import FieldProblem, InvalidInput

MAX_TAGS = 50
MAX_VALUE_CHARS = 100


class TagKind(StrEnum):
    """What a tag's value names."""

    CHARACTER = "CHARACTER"
    PERSONA = "PERSONA"
    CHAT = "CHAT"
    THEME = "THEME"


@dataclass(frozen=True, slots=True)
class Tag:
    """A kind and a value. Values that differ only in upper and lower case are the same tag."""

    kind: TagKind
    value: str

    @property
    def key(self) -> tuple[TagKind, str]:
        """Equal for equal tags."""
        return self.kind, self.value.casefold()


def checked_tags(tags: Iterable[Tag], *path: str) -> tuple[Tag, ...]:
    """The tags without needless white space, each once. Raises InvalidInput."""
    tidy = [Tag(tag.kind, " ".join(tag.value.split())) for tag in tags]
    if any(not 0 < len(tag.value) <= MAX_VALUE_CHARS for tag in tidy):
        raise _refused(f"A tag's value must be 1 to {MAX_VALUE_CHARS} characters", path)
    unique: dict[tuple[TagKind, str], Tag] = {}
    for tag in tidy:
        unique.setdefault(tag.key, tag)
    if len(unique) > MAX_TAGS:
        raise _refused(f"Maximum {MAX_TAGS} tags allowed", path)
    return tuple(unique.values())


def _refused(message: str, path: tuple[str, ...]) -> InvalidInput:
    return InvalidInput(message, problems=[FieldProblem(path or ("tags",), message)])


def retagged(before: Sequence[Tag], add: Iterable[Tag], remove: Iterable[Tag]) -> tuple[Tag, ...]:
    """The tags after the change: what is removed and added at once stays. Raises InvalidInput."""
    gone = {tag.key for tag in checked_tags(remove, "remove")}
    kept = [tag for tag in before if tag.key not in gone]
    return checked_tags([*kept, *checked_tags(add, "add")], "add")
