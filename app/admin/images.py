"""Images of the library: the picture, its recipe, and what shows it."""

from typing import Any

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette_admin.actions import row_action
from starlette_admin.fields import BooleanField, StringField

from app.admin.fields import Choice, Document, Link, Moment, Pictures, Rows, Table
from app.admin.pictures import picture
from app.admin.records import ImageRecord
from app.admin.sign_in import acting_in
from app.admin.views import REMOVE, RecordsView
from app.wiring import Atelier
from domain.images import ImageSource
from domain.pictures import VariantSize
from storage.database.tables import identity, image, step, user_account, wizard

_FORCE = """
    <form class="mt-3 text-start">
        <label class="form-check">
            <input type="checkbox" class="form-check-input" name="force" value="on">
            <span class="form-check-label">Also where something shows it: that will show nothing</span>
        </label>
    </form>
"""


class ImagesView(RecordsView):
    """Pictures of the library."""

    key = "images"
    menu_label = "Images"
    display_name = "image"
    icon = "fa-solid fa-image"
    ids = (image.c.id, image.c.owner_id, image.c.generation_id)
    owner = image.c.owner_id
    sortable_fields = ("created_at",)
    searchable_fields = ("source", "is_public", "created_at")
    fields_default_sort = (("created_at", True),)

    def __init__(self, atelier: Atelier) -> None:
        self.fields = [
            Pictures("thumbnail", "Picture", getter=self._thumbnail, exclude_from_detail=True),
            Pictures("picture", getter=self._picture, exclude_from_list=True, detail_template="shown/large.html"),
            StringField("id", "Id", exclude_from_list=True),
            StringField("filename", "Name"),
            Link("owner", key="users"),
            Link("community", key="communities"),
            Choice("source", enum=ImageSource),
            BooleanField("is_public", "Public"),
            Moment("created_at", "Made (UTC)"),
            Table("uses", "Shown as", exclude_from_list=True),
            Table("tags", exclude_from_list=True),
            StringField("media_type", "Media type", exclude_from_list=True),
            StringField("size", getter=_size, exclude_from_list=True),
            StringField("sha256", "SHA-256", exclude_from_list=True),
            Link("generation", key="generations", exclude_from_list=True),
            Link("template", key="prompts", exclude_from_list=True),
            Document("recipe", exclude_from_list=True),
        ]
        super().__init__(ImageRecord, atelier)

    async def complete(self, session: AsyncSession, record: Any) -> None:
        """What shows the image."""
        portraits = (
            select(literal("portrait").label("as"), identity.c.name.label("of"), user_account.c.email.label("whose"))
            .join_from(identity, user_account, identity.c.user_id == user_account.c.id)
            .where(identity.c.image_id == record.id)
        )
        backgrounds = (
            select(literal("background"), step.c.title, wizard.c.name)
            .join_from(step, wizard)
            .where(step.c.background_id == record.id)
        )
        record.uses = [dict(row) for row in (await session.execute(portraits.union_all(backgrounds))).mappings()]

    def _thumbnail(self, request: Request, record: ImageRecord) -> Rows:
        return [picture(self.atelier.objects, record, record.filename, size=VariantSize.THUMBNAIL)]

    def _picture(self, request: Request, record: ImageRecord) -> Rows:
        return [picture(self.atelier.objects, record, record.filename, size=VariantSize.LARGE)]

    async def is_row_action_allowed_for_obj(self, request: Request, name: str, obj: Any) -> bool:
        """What isn't public can't be made private."""
        if name == "unpublish":
            return bool(obj.is_public)
        return await super().is_row_action_allowed_for_obj(request, name, obj)

    @row_action(
        name="unpublish",
        text="Make private",
        confirmation="Its owner will still have the image; the community no longer.",
        icon_class="fa-solid fa-eye-slash",
        submit_btn_text="Make private",
        form=_FORCE,
        exclude_from_list=True,
    )
    async def unpublish(self, request: Request, pk: Any) -> None:
        """Take the image from the community."""
        record = await self.found(request, pk)
        viewer = acting_in(request, record.community_id)
        await self.atelier.images.set_public(viewer, record.id, is_public=False, force=await _is_forced(request))

    @row_action(
        name=REMOVE,
        text="Remove",
        confirmation="The image will be gone for good, and its files with it unless another image has the same ones.",
        icon_class="fa-solid fa-trash",
        submit_btn_text="Remove",
        form=_FORCE,
        exclude_from_list=True,
    )
    async def remove(self, request: Request, pk: Any) -> None:
        """Remove the image."""
        record = await self.found(request, pk)
        viewer = acting_in(request, record.community_id)
        await self.atelier.images.delete(viewer, record.id, force=await _is_forced(request))


async def _is_forced(request: Request) -> bool:
    return (await request.form()).get("force") == "on"


def _size(_request: Request, record: ImageRecord) -> str:
    return f"{record.width_px} x {record.height_px} pixels, {record.size_bytes:,} bytes"
