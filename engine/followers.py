"""Who follows what in one process, and how far each generation has been handed on. Asks nobody, waits for nothing."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from domain.generations import GenerationEvent

QUEUE_SIZE = 256


class Follower:
    """One subscriber's queue. Grown too long, it keeps each generation's newest event: the rows tell the others."""

    def __init__(self) -> None:
        self._events: deque[GenerationEvent] = deque()
        self._limit = QUEUE_SIZE
        self._wake = asyncio.Event()

    def offer(self, event: GenerationEvent) -> None:
        """Hand an event over without waiting."""
        if len(self._events) >= self._limit:
            newest = {event.generation_id: event for event in self._events}
            self._events = deque(newest.values())
            # Of more generations than that one event each must stay, or nothing would tell of them.
            self._limit = max(QUEUE_SIZE, 2 * len(newest))
        self._events.append(event)
        self._wake.set()

    async def next(self) -> GenerationEvent:
        """The next event; there may be a gap before it."""
        while not self._events:
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()


@dataclass(slots=True, eq=False)
class Owner:
    """Somebody all of whose generations are followed, and which of them are known here."""

    followers: set[Follower] = field(default_factory=set)
    generations: set[UUID] = field(default_factory=set)
    joining: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Whether `generations` are all there were when the first follower came, and whether one came up before that.
    is_known: bool = False
    has_news: bool = False


@dataclass(slots=True, eq=False)
class Channel:
    """Who follows one generation, and the highest number handed to them; None while nothing was."""

    seen: int | None = None
    followers: set[Follower] = field(default_factory=set)
    owner: Owner | None = None
    has_ended: bool = False

    def hand_on(self, event: GenerationEvent) -> None:
        """Give everybody the event that comes next."""
        self.seen = event.seq
        self.has_ended = event.is_terminal
        for follower in self.followers:
            follower.offer(event)
        if self.owner:
            for follower in self.owner.followers:
                follower.offer(event)


class Audience:
    """Everybody who follows something, and what they must be told from the rows (`behind`)."""

    def __init__(self) -> None:
        self.channels: dict[UUID, Channel] = {}
        self.owners: dict[UUID, Owner] = {}
        self.behind: dict[UUID, None] = {}
        self.is_behind = asyncio.Event()
        self.is_unsure = asyncio.Event()

    @property
    def size(self) -> int:
        """How many subscribers there are."""
        every: tuple[Iterable[Channel | Owner], ...] = (self.channels.values(), self.owners.values())
        return sum(len(followed.followers) for kind in every for followed in kind)

    def join(self, generation_id: UUID, follower: Follower) -> Channel:
        """Follow one generation."""
        channel = self.channels.setdefault(generation_id, Channel())
        channel.followers.add(follower)
        return channel

    def leave(self, generation_id: UUID, follower: Follower) -> None:
        """Follow it no more."""
        self.channels[generation_id].followers.discard(follower)
        self._tidy(generation_id)

    def join_all(self, owner_id: UUID, follower: Follower) -> Owner:
        """Follow all that is the owner's."""
        owner = self.owners.setdefault(owner_id, Owner())
        owner.followers.add(follower)
        return owner

    def leave_all(self, owner_id: UUID, follower: Follower) -> None:
        """Follow it no more."""
        owner = self.owners[owner_id]
        owner.followers.discard(follower)
        if not owner.followers:
            del self.owners[owner_id]
            self.forget(list(owner.generations))

    def own(self, generation_id: UUID, owner: Owner, seen: int) -> Channel:
        """The channel of a followed owner's generation; handed on after the number `seen` when it is a new one."""
        channel = self.channels.setdefault(generation_id, Channel(seen))
        if channel.owner is None:
            channel.owner = owner
            owner.generations.add(generation_id)
            if seen == 0:
                # Its own followers know more, and pass over what comes again.
                channel.seen = 0
        return channel

    def forget(self, generation_ids: Iterable[UUID]) -> None:
        """From now on no owner's followers are told of these."""
        for id in generation_ids:
            channel = self.channels.get(id)
            if channel and channel.owner:
                channel.owner.generations.discard(id)
                channel.owner = None
            self._tidy(id)

    def _tidy(self, generation_id: UUID) -> None:
        channel = self.channels.get(generation_id)
        if channel and not channel.followers and not channel.owner:
            del self.channels[generation_id]
            self.behind.pop(generation_id, None)

    def hear(self, generation_id: UUID, owner_id: UUID, seq: int) -> None:
        """There are rows up to this number, which an owner's followers may not know of yet."""
        channel, owner = self.channels.get(generation_id), self.owners.get(owner_id)
        if owner and not (channel and channel.owner):
            owner.has_news = True
            self.is_unsure.set()
        self.note(generation_id, seq)

    def note(self, generation_id: UUID, seq: int) -> None:
        """There are rows up to this number: have them read, unless they are known or nobody follows."""
        channel = self.channels.get(generation_id)
        if channel is None:
            return
        if channel.seen is None:
            # Whoever misses what was before sees the gap.
            channel.seen = max(seq - 1, 0)
        if seq > channel.seen:
            self.behind[generation_id] = None
            self.is_behind.set()

    def tell(self, event: GenerationEvent, owner_id: UUID) -> None:
        """Hand a new event on; in its place, when there are rows before it that nobody here has seen."""
        owner = self.owners.get(owner_id)
        if owner and event.seq == 1:
            self.own(event.generation_id, owner, 0)
        channel = self.channels.get(event.generation_id)
        if channel and (channel.seen is None or channel.seen == event.seq - 1):
            channel.hand_on(event)
        self.hear(event.generation_id, owner_id, event.seq)
