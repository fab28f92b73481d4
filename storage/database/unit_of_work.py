"""Units of work over one connection: every repository asks on it, and everything is kept or nothing."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.repositories import (
    ConnectionProfileRepository,
    GenerationRepository,
    IdentityRepository,
    ImageRepository,
    JobQueue,
    PictureRepository,
    PlanRepository,
    PromptRepository,
    ReferenceImageRepository,
    UnitOfWork,
    UsageRepository,
    UserRepository,
    WizardRepository,
)
from storage.database.connection_profiles import ConnectionProfiles
from storage.database.engine import Connections
from storage.database.generations import Generations
from storage.database.identities import Identities
from storage.database.images import Images
from storage.database.plans import Plans
from storage.database.prompts import Prompts
from storage.database.reference_images import ReferenceImages
from storage.database.stored_pictures import Pictures
from storage.database.usage import Usage
from storage.database.users import Users
from storage.database.wizards import Wizards

JobQueues = Callable[[AsyncConnection], JobQueue]


class SqlUnitOfWork:
    """The repositories on one connection."""

    def __init__(self, connection: AsyncConnection, jobs: JobQueues, *, is_read_only: bool) -> None:
        self._connection = connection
        self._is_read_only = is_read_only
        self.users: UserRepository = Users(connection)
        self.reference_images: ReferenceImageRepository = ReferenceImages(connection)
        self.identities: IdentityRepository = Identities(connection)
        self.prompts: PromptRepository = Prompts(connection)
        self.images: ImageRepository = Images(connection)
        self.pictures: PictureRepository = Pictures(connection)
        self.generations: GenerationRepository = Generations(connection)
        self.wizards: WizardRepository = Wizards(connection)
        self.plans: PlanRepository = Plans(connection)
        self.usage: UsageRepository = Usage(connection)
        self.connection_profiles: ConnectionProfileRepository = ConnectionProfiles(connection)
        self.jobs: JobQueue = jobs(connection)

    async def commit(self) -> None:
        """Keep everything. Raises RuntimeError in a read-only unit of work."""
        if self._is_read_only:
            raise RuntimeError("A read-only unit of work has nothing to commit")
        await self._connection.commit()


class SqlUnitOfWorkFactory:
    """Opens units of work."""

    def __init__(self, connections: Connections, jobs: JobQueues) -> None:
        self._connections = connections
        self._jobs = jobs

    @asynccontextmanager
    async def __call__(self, *, read_only: bool = False) -> AsyncIterator[UnitOfWork]:
        """A new unit of work, as soon as it is its turn."""
        lend = self._connections.read if read_only else self._connections.write
        async with lend() as connection:
            yield SqlUnitOfWork(connection, self._jobs, is_read_only=read_only)
