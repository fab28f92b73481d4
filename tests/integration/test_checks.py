"""What `main.py check` finds: above all keys that the present master keys don't open."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

import engine.jobs
from app.checks import check
from app.settings import load_settings
from app.wiring import compose
from domain.connection_profiles import ProfileChange
from domain.providers import ProviderKind
from domain.users import Viewer
from storage.database.migrate import upgrade
from storage.database.tables import worker
from storage.vault import new_master_key
from tests.e2e.harness import free_port
from tests.rows import stored_community, stored_viewer


async def found(folder: Path, *, is_new: bool = False, keeps: bool = False, **environ: str) -> dict[str, str | None]:
    """What is found of a server over that folder, by its subject; it may keep a profile's key before."""
    settings = load_settings({"ATELIER_DATA_DIR": str(folder), **environ}, folder / "no.env")
    atelier = compose(settings)
    if is_new:
        upgrade(settings.database_url.get_secret_value())
        engine.jobs.migrate(atelier.database.sync_engine())
    if keeps:
        viewer: Viewer = await stored_viewer(atelier.unit_of_work, await stored_community(atelier.unit_of_work))
        change = ProfileChange("Mine", api_key="sk-a-key-of-theirs")
        await atelier.connection_profiles.create(viewer, ProviderKind.OPENAI, change, tried=False)
    findings = {finding.subject: finding.problem for finding in await check(atelier)}
    await atelier.aclose()
    return findings


async def test_all_is_well(tmp_path: Path) -> None:
    """With a database, and keys that open."""
    findings = await found(tmp_path, is_new=True, keeps=True)
    assert (findings["database"], findings["object store"], findings["master keys"]) == (None, None, None)


async def test_keys_that_can_not_be_opened_are_counted(tmp_path: Path) -> None:
    """After a master key was lost; with it beside the new one all is well again."""
    first, second = new_master_key("first"), new_master_key("second")
    await found(tmp_path, is_new=True, keeps=True, MASTER_KEYS=first)
    lost = await found(tmp_path, MASTER_KEYS=second)
    assert lost["master keys"] == "Keys of connection profiles that they don't open: 1."
    assert (await found(tmp_path, MASTER_KEYS=f"{second},{first}"))["master keys"] is None


async def test_without_a_database_the_rest_is_looked_at(tmp_path: Path) -> None:
    """And the keys are not taken for lost."""
    findings = await found(tmp_path)
    assert str(findings["database"]).startswith("The database has no tables yet")
    assert findings["master keys"] == "What they sealed can't be looked at without the database."
    assert findings["object store"] is None


def show_life(url: str, **seconds_ago: float) -> None:
    """Workers by their names, each with its last sign of life."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    now = datetime.now(UTC)
    with engine.begin() as connection:
        for id, seconds in seconds_ago.items():
            seen_at = now - timedelta(seconds=seconds)
            connection.execute(worker.insert().values(id=id, started_at=now, seen_at=seen_at))
    engine.dispose()


async def test_workers_that_live_are_counted(tmp_path: Path, postgresql_url: str) -> None:
    """And not those that died."""
    secret = "a secret of at least thirty-two characters"
    before = await found(tmp_path, DATABASE_URL=postgresql_url, SECRET_KEY=secret)
    show_life(postgresql_url, one=2, two=5, three=31)
    now = await found(tmp_path, DATABASE_URL=postgresql_url, SECRET_KEY=secret)
    assert (before["workers"], now["workers: 2"]) == ("None is at work.", None)


async def test_redis_that_is_away(tmp_path: Path) -> None:
    """Told without its address."""
    findings = await found(tmp_path, is_new=True, REDIS_URL=f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    assert findings["Redis"] == "It can't be reached (ConnectionError)."
    assert "workers" not in findings
