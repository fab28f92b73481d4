"""The operators' page, put together: its views, its sign-in, its templates."""

import logging
from pathlib import Path

from jinja2.ext import Extension
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin import BaseAdmin, CustomView
from starlette_admin.routing import route

from app.admin.entrance import ADMIN_PATH
from app.admin.generations import GenerationsView
from app.admin.images import ImagesView
from app.admin.people import CommunitiesView, UsersView
from app.admin.plans import PlansView
from app.admin.prompts import PromptsView
from app.admin.sign_in import OperatorSignIn, derived_key, sessions
from app.admin.usage import UsageView
from app.admin.workers import WorkersView
from app.wiring import Atelier

_TEMPLATES = Path(__file__).parent / "templates"
_VIEWS = (UsersView, CommunitiesView, PlansView, UsageView, PromptsView, ImagesView, GenerationsView, WorkersView)

# It tells about every field of every form that is sent: passwords too.
logging.getLogger("starlette_admin").setLevel(logging.ERROR)


class _Nonces(Extension):
    """Marks the scripts within the library's templates as our own, so that no other may run."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """A template's source, marked."""
        return source.replace("<script>", '<script nonce="{{ request.state.nonce }}">')


class _FirstPage(CustomView):
    """Where one arrives: the first of the lists."""

    route_name = "index"
    add_to_menu = False

    @route("")
    async def index(self, request: Request) -> Response:
        """Lead on."""
        return RedirectResponse(request.url_for("admin:list", key=UsersView.key))


def build_page(atelier: Atelier) -> Starlette:
    """The application to mount at `ADMIN_PATH`."""
    admin = BaseAdmin(
        title="Atelier",
        base_url=ADMIN_PATH,
        favicon_url="data:,",
        templates_dir=str(_TEMPLATES),
        index_view=_FirstPage(),
        auth_provider=OperatorSignIn(atelier.accounts, atelier.unit_of_work, atelier.clock),
        secret_key=derived_key(atelier.settings, "forms and messages"),
        middlewares=[sessions(atelier.settings, ADMIN_PATH)],
        timezone_config=None,
    )
    admin.templates.env.add_extension(_Nonces)
    for view in _VIEWS:
        admin.add_view(view(atelier))
    admin.mount_to(Starlette())
    return admin.app
