"""The lines in which generations wait: one queue for each provider, with a partition for each community.

At every poll DBOS goes through a queue's partitions in random order and gives each what it may have, so that nobody's
crowd keeps anybody else waiting. The queues of earlier versions are kept for as long as something may come through them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dbos import DBOS, EnqueueOptions

from domain.generations import Generation
from domain.providers import ProviderKind

# DBOS hands work only to workers of the version that asked for it: pinned, so that a deploy strands nothing.
VERSION = "1"
WORKFLOW = "generate"
UNFINISHED = ["PENDING", "ENQUEUED", "DELAYED"]
MINUTE_S = 60
LEGACY_POLL_S = 1.0
# The version before puts everything in one queue with a partition for each provider, as long as a process of it is up:
# nobody knows how long an upgrade takes.
LEGACY_QUEUE = "generations"
# And those before that in a queue for each provider.
OLDER_QUEUES = [f"{LEGACY_QUEUE}-{kind.lower()}" for kind in ProviderKind]
OLDER_FOR = timedelta(days=1)


def queue_name(provider: ProviderKind) -> str:
    """The queue of a provider's generations."""
    return f"provider-{provider.lower()}"


def options_of(generation: Generation, priority: int) -> EnqueueOptions:
    """Where a generation waits. A community with a priority of 3 has three partitions: three times the share and cap."""
    return EnqueueOptions(
        workflow_name=WORKFLOW,
        queue_name=queue_name(generation.provider),
        queue_partition_key=f"{generation.community_id}/{generation.id.int % priority}",
        workflow_id=str(generation.id),
        app_version=VERSION,
    )


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """How much is worked on at once, and how often the queues are asked for more.

    `slots` is one process's at each provider, `community_slots` a partition's in all processes together, `concurrency`
    a provider's in all of them. Without `providers` a process works for every one.
    """

    slots: int = 200
    community_slots: int = 100
    concurrency: Mapping[ProviderKind, int] = field(default_factory=dict)
    starts_per_minute: Mapping[ProviderKind, int] = field(default_factory=dict)
    providers: tuple[ProviderKind, ...] = ()
    poll_s: float = 0.5
    offline_poll_s: float = 0.5

    @property
    def queues(self) -> dict[str, ProviderKind]:
        """The queues that a process listens to, but those of earlier versions."""
        return {queue_name(kind): kind for kind in self.providers or ProviderKind}


def listen(limits: WorkLimits) -> None:
    """Take work for the chosen providers alone. Before DBOS is launched."""
    if limits.providers:
        DBOS.listen_queues([*limits.queues, LEGACY_QUEUE, *OLDER_QUEUES])


def register(limits: WorkLimits) -> None:
    """Write the queues' limits down for every process, as this one's settings have them. Blocks on the database."""
    for name, kind in limits.queues.items():
        ceiling = limits.concurrency.get(kind)
        starts = limits.starts_per_minute.get(kind)
        DBOS.register_queue(
            name,
            # DBOS wants no limit to be larger than one that contains it.
            worker_concurrency=min(limits.slots, ceiling or limits.slots),
            partition_concurrency=min(limits.community_slots, ceiling or limits.community_slots),
            global_concurrency=ceiling,
            limiter={"limit": starts, "period": MINUTE_S} if starts else None,
            polling_interval_sec=limits.offline_poll_s if kind is ProviderKind.OFFLINE else limits.poll_s,
            on_conflict="always_update",
        )
    DBOS.register_queue(
        LEGACY_QUEUE,
        partition_worker_concurrency=limits.slots,
        polling_interval_sec=LEGACY_POLL_S,
        on_conflict="always_update",
    )
    for name in OLDER_QUEUES:
        _keep_while_needed(name, limits.slots)


def _keep_while_needed(name: str, slots: int) -> None:
    """Have what waits in an older version's queue made, and drop the queue when nothing comes through it any more."""
    since = (datetime.now(UTC) - OLDER_FOR).isoformat()
    if _has_jobs(name, status=UNFINISHED) or _has_jobs(name, start_time=since):
        DBOS.register_queue(
            name, worker_concurrency=slots, polling_interval_sec=LEGACY_POLL_S, on_conflict="always_update"
        )
    else:
        DBOS.delete_queue(name)


def _has_jobs(queue: str, *, status: list[str] | None = None, start_time: str | None = None) -> bool:
    found = DBOS.list_workflows(
        queue_name=queue, status=status, start_time=start_time, limit=1, load_input=False, load_output=False
    )
    return bool(found)
