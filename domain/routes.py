"""Routes: the ways in which a picture may be made, in the order in which they are tried.

The first is the one that was asked for; the others are profiles to fall back to. A refusal ends it all, and so does
whatever may have been paid for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from domain.costs import UNKNOWN_PRICE_MICRO_USD, Cost, CostBasis
from domain.errors import InvalidInput, NotFound, ProviderUnusable, UnsupportedByModel
from domain.failures import FailureCode, GenerationFailure
from domain.providers import (
    ImageModel,
    ImageOptions,
    ImageProvider,
    ProviderKind,
    check_offered,
    check_options,
    in_own_words,
    with_defaults,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from domain.connection_profiles import ConnectionProfile
    from domain.images import Image
    from domain.provider_access import ProviderAccess
    from domain.repositories import UnitOfWork
    from domain.users import Viewer
    from domain.wishes import GenerateImage

MAX_FALLBACKS = 5

FALLS_BACK = frozenset(
    {
        FailureCode.INVALID_KEY,
        FailureCode.INSUFFICIENT_CREDIT,
        FailureCode.RATE_LIMITED,
        FailureCode.MODEL_GONE,
        FailureCode.TIMEOUT,
        FailureCode.PROVIDER_UNAVAILABLE,
    }
)
"""What another provider may well do better.

Not a request or a permission that is denied: in words that nobody knows yet, that may be a refusal.
"""


@dataclass(frozen=True, slots=True)
class Route:
    """Whom to ask, by which profile (the server's own access when None), for what, and at about what price a picture."""

    provider: ProviderKind
    model: str
    options: ImageOptions = field(default_factory=ImageOptions)
    profile_id: UUID | None = None
    price: Cost | None = None

    @property
    def assumed_price(self) -> Cost:
        """What a picture is taken to cost, as long as nobody says more."""
        return self.price or Cost(UNKNOWN_PRICE_MICRO_USD, CostBasis.ASSUMED)

    @property
    def is_free(self) -> bool:
        """Whether a call costs nothing, whatever comes of it."""
        return self.price is not None and self.price.micro_usd == 0


def falls_back(why: GenerationFailure) -> bool:
    """Whether the next route may be tried: never after a refusal, never when somebody may have been paid."""
    return why.code in FALLS_BACK and not why.is_charged


@dataclass(frozen=True, slots=True)
class ChosenRoutes:
    """The routes that can do what is asked, at least one, and in words which fallbacks can't."""

    routes: tuple[Route, ...]
    passed_over: tuple[str, ...] = ()


class Routes:
    """Choosing the routes of a request. Every model is checked here, before anything is paid for.

    `default` is the provider, and its model when not the provider's own choice, for requests that name none.
    """

    def __init__(self, access: ProviderAccess, default: tuple[ProviderKind, str | None]) -> None:
        self._access = access
        self._default_provider, self._default_model = default

    async def profiles(
        self, work: UnitOfWork, viewer: Viewer, wish: GenerateImage, parent: Image | None
    ) -> tuple[ConnectionProfile | None, list[ConnectionProfile]]:
        """The profiles that the wish names: the first route's, and the fallbacks. Raises NotFound, InvalidInput.

        Where it names nobody, a picture that the viewer made by a profile is made again by it.
        """
        ids = [id for id in (wish.profile_id, *wish.fallback_profile_ids) if id]
        if len(wish.fallback_profile_ids) > MAX_FALLBACKS:
            raise InvalidInput(f"Give at most {MAX_FALLBACKS} profiles to fall back to", "fallbackProfileIds")
        if len(set(ids)) < len(ids):
            raise InvalidInput("Name each profile once", "fallbackProfileIds")
        found = {each.id: each for each in await work.connection_profiles.of_user_by_ids(viewer.id, ids)} if ids else {}
        for id in ids:
            if id not in found:
                raise NotFound("Connection profile", id)
        first = found[wish.profile_id] if wish.profile_id else await self._of_parent(work, viewer, wish, parent)
        if first and wish.provider not in {None, first.provider}:
            message = f"The profile {first.name} is one for {self._access.own[first.provider].name}: leave provider out"
            raise InvalidInput(message, "provider")
        return first, [found[id] for id in wish.fallback_profile_ids]

    async def chosen(
        self,
        work: UnitOfWork,
        viewer: Viewer,
        asked: GenerateImage,
        wish: GenerateImage,
        profiles: tuple[ConnectionProfile | None, list[ConnectionProfile]],
        prompt: str,
        references: int,
    ) -> ChosenRoutes:
        """The routes of a wish, which may have inherited what wasn't `asked`.

        Raises UnsupportedByModel, ProviderUnusable and InvalidInput for the first of them.
        """
        profile, fallbacks = profiles
        if profile is None:
            profile = await self._default_profile(work, viewer, asked, wish)
        routes: list[Route] = []
        passed_over: list[str] = []
        unusable: ProviderUnusable | None = None
        try:
            routes.append(self._route(*self._first(wish, profile), profile, wish.options, prompt, references))
        except ProviderUnusable as error:
            unusable = error
            passed_over.append(f"{profile.name if profile else error.provider} is passed over: {error.message}")
        for fallback in fallbacks:
            if fallback == profile:
                continue
            try:
                model = fallback.model or self._own_choice(self._access.own[fallback.provider])
                chosen = self._usable(fallback.provider, model, fallback)
                routes.append(self._route(*chosen, fallback, wish.options, prompt, references))
            except (UnsupportedByModel, ProviderUnusable, InvalidInput) as error:
                passed_over.append(f"{fallback.name} is passed over: {error.message}")
        if unusable and not routes:
            raise unusable
        return ChosenRoutes(
            tuple([await self._priced(work, viewer.user.community_id, route) for route in routes]), tuple(passed_over)
        )

    async def again(
        self, work: UnitOfWork, viewer: Viewer, before: Sequence[Route], prompt: str, references: int
    ) -> tuple[Route, ...]:
        """The routes of an earlier request, as far as they can still be taken.

        Raises UnsupportedByModel, ProviderUnusable and InvalidInput when none can, for the first of them.
        """
        ids = [route.profile_id for route in before if route.profile_id]
        found = {each.id: each for each in await work.connection_profiles.of_user_by_ids(viewer.id, ids)} if ids else {}
        routes: list[Route] = []
        problems: list[UnsupportedByModel | ProviderUnusable | InvalidInput] = []
        for route in before:
            profile = found.get(route.profile_id) if route.profile_id else None
            if route.profile_id and (profile is None or profile.provider is not route.provider):
                gone = "The connection profile of that generation is gone: ask anew with another"
                problems.append(ProviderUnusable(gone, route.provider))
                continue
            try:
                usable = self._usable(route.provider, route.model, profile)
                routes.append(self._route(*usable, profile, route.options, prompt, references))
            except (UnsupportedByModel, ProviderUnusable, InvalidInput) as error:
                problems.append(error)
        if not routes:
            raise problems[0]
        return tuple([await self._priced(work, viewer.user.community_id, route) for route in routes])

    async def _of_parent(
        self, work: UnitOfWork, viewer: Viewer, wish: GenerateImage, parent: Image | None
    ) -> ConnectionProfile | None:
        """The profile by which the viewer made the parent: what it was told goes to nobody else unasked."""
        if wish.provider or parent is None or parent.generation_id is None:
            return None
        made = await work.generations.by_ids(viewer.scope, [parent.generation_id])
        if not made or made[0].requested_by_id != viewer.id:
            return None
        calls = await work.generations.attempts_of([parent.generation_id])
        used = [call.profile_id for call in calls if call.index == parent.generation_index]
        if not used or used[-1] is None:
            return None
        found = await work.connection_profiles.of_user_by_ids(viewer.id, [used[-1]])
        if not found:
            message = "The connection profile that made that image is gone: give profileId, or a provider"
            raise InvalidInput(message, "parentImageId")
        # A model of another provider's names that one, unless it is the picture's own.
        is_own = parent.recipe is not None and wish.model == parent.recipe.model
        return found[0] if is_own or self._named(wish) in {None, found[0].provider} else None

    async def _default_profile(
        self, work: UnitOfWork, viewer: Viewer, asked: GenerateImage, wish: GenerateImage
    ) -> ConnectionProfile | None:
        """The viewer's default profile: for what they don't name, and for what the server itself has no access to."""
        is_named = self._named(asked) is not None
        kind = self._named(wish)
        if is_named and kind and self._access.own[kind].problem is None:
            return None
        every = await work.connection_profiles.of_user(viewer.id)
        default = next((profile for profile in every if profile.is_default), None)
        if default is None or not self._access.own[default.provider].makes_images:
            return None
        # What was inherited stays with its provider, and with its address: another one may not have the model.
        is_same = kind is default.provider and (is_named or default.base_url is None)
        return default if kind is None or is_same else None

    def _named(self, wish: GenerateImage) -> ProviderKind | None:
        """Whom the wish names, if only by a model of theirs."""
        return wish.provider or next(
            (
                kind
                for kind, provider in self._access.own.items()
                if any(known.id == wish.model for known in provider.models)
            ),
            None,
        )

    def _first(self, wish: GenerateImage, profile: ConnectionProfile | None) -> tuple[ImageProvider, ImageModel]:
        if profile:
            model = wish.model or profile.model
            return self._usable(
                profile.provider, model or self._own_choice(self._access.own[profile.provider]), profile
            )
        kind = self._named(wish) or self._default_provider
        default = self._default_model if kind is self._default_provider else None
        return self._usable(kind, wish.model or default or self._own_choice(self._access.own[kind]), None)

    def _own_choice(self, provider: ImageProvider) -> str:
        if provider.models:
            return provider.models[0].id
        if not provider.makes_images:
            return ""
        raise InvalidInput(f"Say which model of {provider.name} to ask", "model")

    def _usable(
        self, kind: ProviderKind, model_id: str, profile: ConnectionProfile | None
    ) -> tuple[ImageProvider, ImageModel]:
        provider = self._access.own[kind]
        model = provider.model(model_id)
        # Before the key is asked for: a successor's name helps more than a key for what is gone.
        check_offered(kind, model)
        problem = self._access.problem_of(profile) if profile else provider.problem
        if problem and profile is None and provider.makes_images and provider.needs_key:
            problem += " Give profileId to ask by a profile of your own."
        if problem:
            raise ProviderUnusable(problem, kind)
        known = [each.id for each in provider.models]
        if kind is ProviderKind.OFFLINE and model.id not in known:
            # A vendor knows models that we don't; the placeholder would answer to any misspelt name.
            raise UnsupportedByModel(
                f"The offline provider has no model {model.id}. Name the provider whose model it is.",
                provider=kind,
                model=model.id,
                option="model",
                supported=known,
            )
        return provider, model

    def _route(
        self,
        provider: ImageProvider,
        model: ImageModel,
        profile: ConnectionProfile | None,
        asked: ImageOptions,
        prompt: str,
        references: int,
    ) -> Route:
        options = with_defaults(in_own_words(model, asked), model.defaults)
        check_options(provider.kind, model, options, references)
        if len(prompt) > model.max_prompt_chars:
            raise UnsupportedByModel(
                f"The prompt has {len(prompt):,} characters; {model.name} takes {model.max_prompt_chars:,}",
                provider=provider.kind,
                model=model.id,
                option="prompt",
                supported=[f"1-{model.max_prompt_chars}"],
            )
        price = provider.price_micro_usd(model.id, options, references)
        cost = None if price is None else Cost(price, CostBasis.LISTED)
        return Route(provider.kind, model.id, options, profile.id if profile else None, cost)

    async def _priced(self, work: UnitOfWork, community_id: UUID, route: Route) -> Route:
        if route.price is not None:
            return route
        typical = await work.generations.typical_cost(community_id, route.provider, route.model)
        return route if typical is None else replace(route, price=Cost(typical, CostBasis.TYPICAL))
