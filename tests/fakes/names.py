"""A name service that says what a test wants, and another thing when it is asked again."""

import socket
from collections.abc import Sequence


class FakeNames:
    """`answers` are what each name is said to have, one after the other; the last one stays. `asked` has every call."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(said) for name, said in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        """What the name has now."""
        self.asked.append(host)
        said = self.answers.get(host)
        if said is None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return said.pop(0) if len(said) > 1 else said[0]
