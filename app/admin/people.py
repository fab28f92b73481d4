"""Users with their pictures and limits, and communities with their plans."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette_admin.actions import row_action
from starlette_admin.fields import BooleanField, PasswordField, StringField

from app.admin.fields import Choice, Link, Moment, Pictures, Rows, Table
from app.admin.limits import LIMIT_FIELDS, asked_limits, limit_fields
from app.admin.pictures import picture
from app.admin.records import CommunityRecord, ImageRecord, UserRecord
from app.admin.sign_in import acting_in
from app.admin.usage import counted
from app.admin.views import RecordsView
from app.wiring import Atelier
from domain.pictures import VariantSize
from domain.quotas import Feature, QuotaUnit
from domain.users import Role
from storage.database.tables import community, image, reference_image, user_account, user_limit

NEWEST_IMAGES = 24


class UsersView(RecordsView):
    """People."""

    key = "users"
    menu_label = "Users"
    display_name = "user"
    icon = "fa-solid fa-users"
    ids = (user_account.c.id, user_account.c.community_id)
    texts = (user_account.c.email, user_account.c.name)
    sortable_fields = ("email", "name", "created_at")
    searchable_fields = ("role", "is_operator", "is_test", "created_at")
    fields_default_sort = (("created_at", True),)
    made_of = ("email", "name", "community_name", "password", "role", "is_test")
    changeable = ("role", *LIMIT_FIELDS)

    def __init__(self, atelier: Atelier) -> None:
        in_form: dict[str, Any] = {"exclude_from_list": True, "exclude_from_detail": True}
        self.fields = [
            StringField("id", "Id", exclude_from_list=True),
            StringField("email", "E-mail", required=True),
            StringField("name"),
            StringField(
                "community_name",
                "Community",
                required=True,
                help_text="Its name; it is made when there is none of that name.",
                **in_form,
            ),
            PasswordField("password", help_text="Leave empty for a user who never signs in by password.", **in_form),
            Link("community", key="communities"),
            Choice("role", enum=Role, required=True, default=Role.MEMBER),
            BooleanField("is_operator", "Operator"),
            BooleanField("is_test", "Test user"),
            BooleanField("has_password", "Has a password", exclude_from_list=True),
            Moment("created_at", "Made (UTC)"),
            Moment("tokens_valid_after", "Tokens valid from (UTC)", exclude_from_list=True),
            *limit_fields(exclude_from_list=True),
            Table("usage", exclude_from_list=True),
            Pictures("references", "Reference images", getter=self._references, exclude_from_list=True),
            Pictures("images", f"Newest {NEWEST_IMAGES} images", getter=self._images, exclude_from_list=True),
        ]
        super().__init__(UserRecord, atelier)

    async def complete(self, session: AsyncSession, record: Any) -> None:
        """The limits, the usage and the pictures."""
        limits = select(user_limit).where(user_limit.c.user_id == record.id)
        record.limits = (await session.execute(limits)).all()
        record.usage = await counted(session, record.id)
        slots = select(reference_image).where(reference_image.c.user_id == record.id).order_by(reference_image.c.order)
        record.references = (await session.execute(slots)).all()
        images = select(ImageRecord).where(image.c.owner_id == record.id)
        newest = images.order_by(image.c.created_at.desc(), image.c.id.desc()).limit(NEWEST_IMAGES)
        record.images = (await session.execute(newest)).scalars().all()

    def _references(self, request: Request, record: Any) -> Rows:
        return [
            picture(self.atelier.objects, slot, f"{slot.order}: {slot.name} ({slot.role})", size=VariantSize.MEDIUM)
            for slot in record.references
            if slot.picture_key
        ]

    def _images(self, request: Request, record: Any) -> Rows:
        return [
            picture(self.atelier.objects, row, row.filename, id=row.id, size=VariantSize.MEDIUM)
            for row in record.images
        ]

    async def make(self, request: Request, data: dict[str, Any]) -> UUID:
        """A new user."""
        # Taken out of the form, which is shown again when it is refused.
        password = data.pop("password") or None
        made = await self.atelier.accounts.create(
            email=data["email"],
            name=data["name"] or "",
            community=data["community_name"].strip(),
            password=password,
            role=Role(data["role"]),
            is_test=data["is_test"],
        )
        return made.id

    async def change(self, request: Request, record: Any, data: dict[str, Any]) -> None:
        """Another role, other limits."""
        viewer = acting_in(request, record.community_id)
        wanted = {limit.unit: limit.amount for limit in asked_limits(data)}
        for unit in QuotaUnit:
            await self.atelier.quotas.set_user_limit(
                viewer, record.id, Feature.IMAGE_GENERATION, unit, wanted.get(unit)
            )
        await self.atelier.accounts.set_role(record.id, Role(data["role"]))

    @row_action(
        name="revoke",
        text="Revoke tokens",
        confirmation="Every token of the user's will be dead, also those that hold sockets open.",
        icon_class="fa-solid fa-key",
        submit_btn_text="Revoke",
        exclude_from_list=True,
    )
    async def revoke(self, request: Request, pk: Any) -> None:
        """Make every token dead."""
        record = await self.found(request, pk)
        async with self.atelier.unit_of_work(read_only=True) as work:
            user = await work.users.get(record.id)
        await self.atelier.accounts.revoke_tokens(user)


class CommunitiesView(RecordsView):
    """Tenants."""

    key = "communities"
    menu_label = "Communities"
    display_name = "community"
    icon = "fa-solid fa-house"
    ids = (community.c.id,)
    texts = (community.c.name,)
    sortable_fields = ("name",)
    searchable_fields = ()
    fields_default_sort = ("name",)
    changeable = ("plan",)

    def __init__(self, atelier: Atelier) -> None:
        self.fields = [
            StringField("id", "Id", exclude_from_list=True),
            StringField("name"),
            Link("plan", key="plans", help_text="One of the community's own, or one for every community."),
            StringField("time_zone", "Months begin by"),
            Table("usage", exclude_from_list=True),
        ]
        super().__init__(CommunityRecord, atelier)

    async def complete(self, session: AsyncSession, record: Any) -> None:
        """The usage."""
        record.usage = await counted(session, record.id)

    async def change(self, request: Request, record: Any, data: dict[str, Any]) -> None:
        """Another plan, or none."""
        plan_id = UUID(data["plan"]) if data["plan"] else None
        await self.atelier.quotas.set_community_plan(acting_in(request, record.id), plan_id)
