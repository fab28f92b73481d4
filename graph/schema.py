"""The schema: every noun's part put together, its limits, and how it is printed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import strawberry
from graphql import GraphQLError, GraphQLObjectType
from strawberry.extensions import DisableIntrospection, ParserCache, SchemaExtension, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from graph.communities import CommunityMutations
from graph.connection_profiles import ConnectionProfileMutations, ConnectionProfileQueries
from graph.errors import HANDLERS, tell
from graph.execution import LeafExecutor
from graph.fields import shorten
from graph.generation_control import GenerationControlMutations
from graph.generation_events import Subscription
from graph.generation_requests import GenerationRequestMutations, GenerationRequestQueries
from graph.generations import GenerationQueries
from graph.identities import IdentityMutations, IdentityQueries
from graph.images import ImageQueries
from graph.library import LibraryMutations
from graph.limits import Limits
from graph.nodes import NodeQueries
from graph.plans import PlanMutations, PlanQueries
from graph.portraits import PortraitMutations
from graph.prompts import PromptMutations, PromptQueries
from graph.providers import ProviderQueries
from graph.reference_images import ReferenceImageMutations
from graph.scalars import SCALARS
from graph.steps import StepMutations, StepQueries
from graph.users import UserMutations, UserQueries
from graph.wizards import WizardMutations, WizardQueries

CACHED_DOCUMENTS = 128

Extension = type[SchemaExtension] | Callable[[], SchemaExtension]


@strawberry.type(description="What can be asked.")
class Query(
    PlanQueries,
    GenerationRequestQueries,
    GenerationQueries,
    ConnectionProfileQueries,
    ProviderQueries,
    PromptQueries,
    StepQueries,
    WizardQueries,
    ImageQueries,
    IdentityQueries,
    UserQueries,
    NodeQueries,
):
    """Every noun's queries, the last base's first."""


@strawberry.type(
    description="What can be done. Each answers with its success, or with an error that says what to mend."
)
class Mutation(
    PlanMutations,
    CommunityMutations,
    GenerationControlMutations,
    GenerationRequestMutations,
    ConnectionProfileMutations,
    PromptMutations,
    StepMutations,
    WizardMutations,
    LibraryMutations,
    PortraitMutations,
    IdentityMutations,
    ReferenceImageMutations,
    UserMutations,
):
    """Every noun's mutations, the last base's first."""


class _ParserCache(ParserCache):
    """Strawberry's, which would let a syntax error out where a socket's operation is not ready for it."""

    def on_parse(self) -> Iterator[None]:
        """Parse from the cache; what can't be parsed is left to Strawberry, which reports it well."""
        with suppress(GraphQLError):
            next(super().on_parse())
        yield


class AtelierSchema(strawberry.Schema):
    """Strawberry's schema, with our errors and without its cost for plain fields."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Give every error its code, and mask and log what nobody foresaw."""
        context = execution_context.context if execution_context else None
        for error in errors:
            tell(error, getattr(context, "request_id", None))


def build_schema(*, introspection: bool = True, watches: Sequence[Extension] = ()) -> AtelierSchema:
    """The schema that is served. `watches` look at each operation without a part in it."""
    extensions: list[Extension] = [
        *watches,
        lambda: _ParserCache(CACHED_DOCUMENTS),
        lambda: ValidationCache(CACHED_DOCUMENTS),
        Limits,
    ]
    if not introspection:
        extensions.insert(0, DisableIntrospection)
    schema = AtelierSchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        extensions=extensions,
        execution_context_class=LeafExecutor,
        exception_handlers=HANDLERS,
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=not introspection),
    )
    for known in schema._schema.type_map.values():  # noqa: SLF001 - Strawberry shows its types nowhere else
        if isinstance(known, GraphQLObjectType) and not known.name.startswith("__"):
            for field in known.fields.values():
                shorten(field)
    return schema


def printed_schema() -> str:
    """The schema in GraphQL's schema definition language."""
    return build_schema().as_str() + "\n"
