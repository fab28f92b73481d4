"""Identities: the personas a person wants to be pictured as, each with a portrait from the image library."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from domain.errors import FieldProblem, InvalidInput, LimitReached
from domain.images import new_upload
from domain.names import MAX_NAME_CHARS
from domain.picture_store import PictureStore
from domain.pictures import UploadedFile
from domain.ports import Clock
from domain.providers import ReferenceRole
from domain.reference_images import ReferenceImage
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.users import Viewer

MAX_TEXT_CHARS = 4_000
MAX_NOTES = 50
MAX_IDENTITIES = 200
SMALL_REFERENCE_PX = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """A persona of one user. `image_id` is its portrait, an image of the library."""

    id: UUID
    community_id: UUID
    user_id: UUID
    name: str
    category: str
    i_am_statement: str
    visualization: str
    notes: tuple[str, ...]
    image_id: UUID | None
    created_at: datetime
    updated_at: datetime

    def described(self) -> str:
        """The persona in words, as prompts get it: what is empty is left out."""
        lines = [
            f'Identity Name: "{self.name}"',
            f"Category: {self.category}",
            f"I Am Statement: {self.i_am_statement}",
            f"Visualization: {self.visualization}",
            f"Notes: {'; '.join(self.notes)}",
        ]
        values = (self.name, self.category, self.i_am_statement, self.visualization, self.notes)
        return "\n".join(line for line, value in zip(lines, values, strict=True) if value)


@dataclass(frozen=True, slots=True)
class IdentityText:
    """What a caller says of an identity; None leaves a field as it is."""

    name: str | None = None
    category: str | None = None
    i_am_statement: str | None = None
    visualization: str | None = None
    notes: tuple[str, ...] | None = None

    def trimmed(self) -> "IdentityText":
        """The same without white space around. Raises InvalidInput with every field that is wrong."""
        text = IdentityText(
            name=_stripped(self.name),
            category=_stripped(self.category),
            i_am_statement=_stripped(self.i_am_statement),
            visualization=_stripped(self.visualization),
            notes=None if self.notes is None else tuple(note.strip() for note in self.notes if note.strip()),
        )
        problems = text._problems()
        if problems:
            raise InvalidInput("; ".join(problem.message for problem in problems), problems=problems)
        return text

    def _texts(self) -> dict[str, str | None]:
        return {
            "name": self.name,
            "category": self.category,
            "iAmStatement": self.i_am_statement,
            "visualization": self.visualization,
        }

    def _problems(self) -> list[FieldProblem]:
        problems = []
        if self.name == "":
            problems.append(FieldProblem(("name",), "Name must not be empty"))
        for field, value in self._texts().items():
            limit = MAX_NAME_CHARS if field in {"name", "category"} else MAX_TEXT_CHARS
            if value is not None and len(value) > limit:
                problems.append(FieldProblem((field,), f"{field} must be at most {limit:,} characters"))
        if self.notes is not None and len(self.notes) > MAX_NOTES:
            problems.append(FieldProblem(("notes",), f"notes must be at most {MAX_NOTES}"))
        if any(len(note) > MAX_TEXT_CHARS for note in self.notes or ()):
            problems.append(FieldProblem(("notes",), f"Each note must be at most {MAX_TEXT_CHARS:,} characters"))
        return problems


def _stripped(text: str | None) -> str | None:
    return None if text is None else text.strip()


@dataclass(frozen=True, slots=True)
class Readiness:
    """What is missing (`blockers`) or weak (`warnings`) before money is spent on a picture of the identity."""

    blockers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether a picture can be asked for."""
        return not self.blockers

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is missing or weak, the worst first."""
        return self.blockers + self.warnings


def readiness(identity: Identity, references: Sequence[ReferenceImage]) -> Readiness:
    """Judge an identity by its words and its owner's reference images."""
    pictures = {reference.order: reference.picture for reference in references if reference.picture}
    blockers = [] if pictures else ["Upload at least one reference image"]
    warnings = []
    if not identity.i_am_statement and not identity.visualization:
        warnings.append("Describe the identity: it has neither an I-am statement nor a visualization")
    for order, picture in pictures.items():
        if min(picture.width_px, picture.height_px) < SMALL_REFERENCE_PX:
            size = f"{picture.width_px}x{picture.height_px}"
            warnings.append(f"Reference image {order} is small ({size} px): use {SMALL_REFERENCE_PX} or more")
    if len({picture.sha256 for picture in pictures.values()}) < len(pictures):
        warnings.append("The same reference image is there more than once")
    if pictures and not any(reference.picture and reference.role is ReferenceRole.FACE for reference in references):
        warnings.append("No reference image shows a face")
    return Readiness(tuple(blockers), tuple(warnings))


class Identities:
    """What people do with their identities."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, pictures: PictureStore, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._pictures = pictures
        self._clock = clock

    async def create(self, viewer: Viewer, text: IdentityText, user_id: UUID | None = None) -> Identity:
        """A new identity of the viewer, or of the user an admin names. Raises NotFound, InvalidInput."""
        text = replace(text, name=text.name or "").trimmed()
        now = self._clock.now()
        async with self._unit_of_work() as work:
            user = await work.users.acted_for(viewer, user_id)
            if len(await work.identities.of_users([user.id])) >= MAX_IDENTITIES:
                raise LimitReached(f"Maximum {MAX_IDENTITIES} identities allowed", MAX_IDENTITIES)
            identity = Identity(
                id=uuid4(),
                community_id=user.community_id,
                user_id=user.id,
                name=text.name or "",
                category=text.category or "",
                i_am_statement=text.i_am_statement or "",
                visualization=text.visualization or "",
                notes=text.notes or (),
                image_id=None,
                created_at=now,
                updated_at=now,
            )
            await work.identities.add(identity)
            await work.commit()
        return identity

    async def update(self, viewer: Viewer, id: UUID, text: IdentityText) -> Identity:
        """Change what is given. Raises NotFound, InvalidInput."""
        text = text.trimmed()
        async with self._unit_of_work() as work:
            before = await work.identities.get(viewer.scope, id, for_update=True)
            after = replace(
                before,
                name=before.name if text.name is None else text.name,
                category=before.category if text.category is None else text.category,
                i_am_statement=before.i_am_statement if text.i_am_statement is None else text.i_am_statement,
                visualization=before.visualization if text.visualization is None else text.visualization,
                notes=before.notes if text.notes is None else text.notes,
                updated_at=self._clock.now(),
            )
            await work.identities.update(after)
            await work.commit()
        return after

    async def delete(self, viewer: Viewer, id: UUID) -> None:
        """Remove the identity; its pictures stay in the library. Raises NotFound."""
        async with self._unit_of_work() as work:
            found = await work.identities.get(viewer.scope, id, for_update=True)
            await work.identities.delete(found.id)
            await work.commit()

    async def upload_portrait(self, viewer: Viewer, id: UUID, file: UploadedFile | None) -> Identity:
        """Make the file an image of the library and the identity's portrait. Raises NotFound, InvalidImage."""
        if file is None:
            raise InvalidInput("No image file provided", "file")
        async with self._unit_of_work(read_only=True) as work:
            found = await work.identities.get(viewer.scope, id)
        async with self._pictures.storing(found.community_id, file) as picture, self._unit_of_work() as work:
            before = await work.identities.get(viewer.scope, id, for_update=True)
            kept = await work.pictures.keep(before.user_id, picture)
            image = new_upload(before.community_id, before.user_id, kept, file.filename, self._clock.now())
            await work.images.add(image)
            return await self._shown_as(work, before, image.id)

    async def save_portrait(self, viewer: Viewer, id: UUID, image_id: UUID) -> Identity:
        """Make an image of the identity's user, or one that is public, its portrait. Raises NotFound, InvalidInput."""
        async with self._unit_of_work() as work:
            await work.identities.get(viewer.scope, id)
            # The image is locked before the identity, as by whoever removes an image.
            image = await work.images.get_visible(viewer.scope, image_id, for_use=True)
            before = await work.identities.get(viewer.scope, id, for_update=True)
            if image.owner_id != before.user_id and not image.is_public:
                # An admin sees everybody's images; to show one to another is its owner's to allow.
                raise InvalidInput("A portrait is an image of the identity's user, or one that is public", "imageId")
            return await self._shown_as(work, before, image.id)

    async def remove_portrait(self, viewer: Viewer, id: UUID) -> Identity:
        """Leave the identity without a portrait; the image stays in the library. Raises NotFound."""
        async with self._unit_of_work() as work:
            before = await work.identities.get(viewer.scope, id, for_update=True)
            return await self._shown_as(work, before, None)

    async def _shown_as(self, work: UnitOfWork, before: Identity, image_id: UUID | None) -> Identity:
        after = replace(before, image_id=image_id, updated_at=self._clock.now())
        await work.identities.update(after)
        await work.commit()
        return after
