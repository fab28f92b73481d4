"""Real things of which single calls go wrong, to bring about what else takes a crash, an outage or a race."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast, get_type_hints

from domain.repositories import UnitOfWork, UnitOfWorkFactory

Thing = TypeVar("Thing")
Mishaps = dict[str, list[object]]
"""By the call's name, what it does instead of its work, once each and in order: raise an exception, or answer."""

WORKS = object()
"""No mishap, so that a later call is the one that goes wrong."""


class _Mishap:
    def __init__(self, thing: object, mishaps: Mishaps, prefix: str = "") -> None:
        self._thing = thing
        self._mishaps = mishaps
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._thing, name)
        mishaps = self._mishaps.get(self._prefix + name)
        if not mishaps:
            return real

        async def instead(*arguments: object, **options: object) -> object:
            if not mishaps:
                return await real(*arguments, **options)
            mishap = mishaps.pop(0)
            if mishap is WORKS:
                return await real(*arguments, **options)
            if isinstance(mishap, BaseException):
                raise mishap
            return mishap

        return instead


def with_mishaps(thing: Thing, mishaps: Mishaps) -> Thing:
    """The thing itself, but for its mishaps."""
    return cast("Thing", _Mishap(thing, mishaps))


class UnluckyUnitOfWork:
    """Units of work with `mishaps` such as `"users.by_external_id": [None]`, an answer from before another's commit."""

    def __init__(self, unit_of_work: UnitOfWorkFactory) -> None:
        self._unit_of_work = unit_of_work
        self.mishaps: Mishaps = defaultdict(list)

    @asynccontextmanager
    async def __call__(self, *, read_only: bool = False) -> AsyncIterator[UnitOfWork]:
        """A real unit of work, with the mishaps that are left."""
        async with self._unit_of_work(read_only=read_only) as work:
            unlucky = _Mishap(work, self.mishaps)
            for name in get_type_hints(UnitOfWork):
                setattr(unlucky, name, _Mishap(getattr(work, name), self.mishaps, f"{name}."))
            yield cast("UnitOfWork", unlucky)
