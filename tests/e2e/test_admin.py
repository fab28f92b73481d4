"""The operators' page in a real browser: signed in, from our own origin alone, changing things by forms and buttons."""

from pathlib import Path

from tests.e2e.browser import TEXT, Page
from tests.e2e.harness import ADMIN, Server


async def fill_in(page: Page, **values: str) -> None:
    """Type into a form's fields."""
    for name, value in values.items():
        await page.run(f"document.querySelector('form [name={name}]').value = {value!r}")


async def test_an_operator_at_work(program: str, tmp_path: Path) -> None:
    """Signs in, makes a plan, puts the community on it by searching for it, and revokes a user's tokens."""
    async with Server(tmp_path) as server, Page(program, tmp_path / "profile") as page:
        await server.start()
        await page.open(f"{server.url}/admin/communities/list")
        await page.until(f"{TEXT}.includes('Sign in as an operator')")
        await fill_in(page, username=ADMIN, password=server.password)
        await page.run("document.querySelector('form button').click()")
        await page.until(f"{TEXT}.includes('MONTHS BEGIN BY')")

        await page.open(f"{server.url}/admin/plans/create")
        await page.until("document.querySelector('[name=limits_images]') !== null")
        await fill_in(page, name="Modest", limits_images="50")
        await page.run("document.querySelector('form[method=POST] button[type=submit].btn-primary').click()")
        await page.until(f"{TEXT}.includes('was added successfully')")

        await page.open(f"{server.url}/admin/communities/list")
        await page.until("document.querySelector('a[href*=\"communities/edit\"]') !== null")
        await page.run("document.querySelector('a[href*=\"communities/edit\"]').click()")
        await page.until("document.querySelector('.select2-selection') !== null")
        await page.run("void jQuery('select[name=plan]').select2('open')")
        await page.until("document.querySelector('.select2-results__option--selectable') !== null")
        await page.run(
            "void jQuery(document.querySelector('.select2-results__option--selectable')).trigger('mouseenter').trigger('mouseup')"
        )
        await page.until("document.querySelector('select[name=plan]').value !== ''")
        await page.run("document.querySelector('form[method=POST] button[type=submit].btn-primary').click()")
        await page.until(f"{TEXT}.includes('was changed successfully')")
        assert await page.run(f"{TEXT}.includes('Modest')")

        await page.open(f"{server.url}/admin/users/list?q=tess")
        await page.until("document.querySelector('tr.row-clickable') !== null")
        await page.run("location.href = document.querySelector('tr.row-clickable').dataset.saHref")
        await page.until("document.querySelector('[data-sa-name=revoke]') !== null")
        assert await page.run(f"{TEXT}.includes('1970-01-01')")
        await page.run("document.querySelector('[data-sa-name=revoke]').click()")
        await page.until("document.querySelector('[data-sa-action=action-submit]')?.innerText === 'Revoke'")
        await page.run("document.querySelector('[data-sa-action=action-submit]').click()")
        await page.until(f"{TEXT}.includes('tess@') && !{TEXT}.includes('1970-01-01')")
        assert page.hosts == {"127.0.0.1"}
        assert page.complaints == []
