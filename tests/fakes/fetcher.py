"""A fetcher that reaches nothing but what a test has put somewhere."""

from domain.errors import DomainError, FetchRefused


class FakeFetcher:
    """`answers` are what is at each address: bytes, or what fetching them raises; `asked` has every call."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | DomainError] = {}
        self.asked: list[tuple[str, int]] = []

    async def fetch(self, url: str, max_bytes: int) -> bytes:
        """What was put there; every other address is refused."""
        self.asked.append((url, max_bytes))
        answer = self.answers.get(url, FetchRefused("That address can't be fetched from."))
        if isinstance(answer, DomainError):
            raise answer
        return answer
