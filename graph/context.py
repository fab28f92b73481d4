"""What an operation works with: the services, who is asking, and the loaders. No database session lives here."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property

import strawberry

from domain.accounts import Accounts
from domain.connection_profiles import ConnectionProfiles
from domain.errors import Unauthenticated
from domain.generation_events import GenerationEvents
from domain.generation_requests import GenerationRequests
from domain.identities import Identities
from domain.images import Images
from domain.ports import Clock, ObjectStore
from domain.prompts import Prompts
from domain.provider_access import ProviderAccess
from domain.quotas import Quotas
from domain.reference_images import ReferenceImages
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.users import Viewer
from domain.wizards import Wizards
from graph.loaders import Loaders


@dataclass(frozen=True, slots=True)
class Services:
    """What resolvers may call; made once per process."""

    unit_of_work: UnitOfWorkFactory
    accounts: Accounts
    reference_images: ReferenceImages
    identities: Identities
    images: Images
    connection_profiles: ConnectionProfiles
    wizards: Wizards
    prompts: Prompts
    quotas: Quotas
    requests: GenerationRequests
    events: GenerationEvents
    access: ProviderAccess
    objects: ObjectStore
    clock: Clock


class Context:
    """One HTTP operation, or one socket with all its operations.

    A socket `shares_steps`: what several of them follow alike is executed once (`graph/sharing.py`).
    """

    shares_steps = False

    def __init__(self, services: Services, request_id: str | None = None, authorization: str | None = None) -> None:
        self.services = services
        self.request_id = request_id
        self.authorization = authorization
        self._asker: Viewer | Unauthenticated = Unauthenticated("Sign in first: send `Authorization: Bearer <token>`")

    def answer_to(self, asker: Viewer | Unauthenticated) -> None:
        """Who is asking, or why that can't be known."""
        self._asker = asker

    @property
    def is_signed_in(self) -> bool:
        """Whether it is known who is asking."""
        return isinstance(self._asker, Viewer)

    @property
    def viewer(self) -> Viewer:
        """Who is asking. Raises Unauthenticated."""
        if isinstance(self._asker, Unauthenticated):
            raise self._asker
        return self._asker

    @cached_property
    def loaders(self) -> Loaders:
        """Children by the batch. Raises Unauthenticated."""
        return Loaders(self.services.unit_of_work, self.services.quotas, self.viewer)

    def reading(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A short unit of work for a root field."""
        return self.services.unit_of_work(read_only=True)


Info = strawberry.Info[Context, None]
