"""Names that people give to things."""

from domain.errors import InvalidInput

MAX_NAME_CHARS = 255


def checked_name(text: str, field: str = "name") -> str:
    """The name, trimmed. Raises InvalidInput when it is empty or too long."""
    text = text.strip()
    if not 0 < len(text) <= MAX_NAME_CHARS:
        raise InvalidInput(f"{field.capitalize()} must be 1 to {MAX_NAME_CHARS} characters", field)
    return text
