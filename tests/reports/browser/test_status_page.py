"""The page of `imagefactory status --html` in a real browser: 60 labs with 40 image paths, on a phone and a screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from imagefactory.reports.catalog_page import status_page
from imagefactory.reports.catalog_report import report_catalog
from imagefactory.reports.status import STATES
from tests.reports.browser.chromium import RUNS_HERE
from tests.reports.browser.pages import Opened, broken_words, open_page, overflow, text_contrasts
from tests.unit.builders import NOON, catalog, image
from tests.unit.reports.status_worlds import PATHS, many_labs

pytestmark = pytest.mark.skipif(not RUNS_HERE, reason="the registry has this browser for Linux on x86-64 only")

WIDTHS = (390, 1280, 2560)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, with the catalog of the factory."""
    images = [image(f"{path[:-5].replace('/', '_')}-Mar-{day}-2026", path, day) for path in PATHS for day in (1, 2)]
    reports = [("prod", report_catalog(catalog(*images), "factory", NOON, [], {}))]
    file = tmp_path_factory.mktemp("status") / "status.html"
    file.write_text(status_page([many_labs()], reports), encoding="utf-8")
    return file


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Opened]:
    """The page on a screen of 1280 pixels, newly opened."""
    one = open_page(browser, file, viewport={"width": 1280, "height": 800})
    yield one
    one.page.close()


def labs(opened: Opened) -> list[str]:
    """The names of the visible labs, in the order of the list, which is that of the matrix."""
    page = opened.page
    names = page.locator(".lab:not([hidden]) h3").all_inner_texts()
    assert page.locator(".matrix tbody tr:not([hidden]) th").all_inner_texts() == names
    return names


@pytest.mark.parametrize("width", WIDTHS)
def test_on_any_screen_nothing_is_cut(browser: Browser, file: Path, width: int) -> None:
    """No sideways scrolling, and no word with a line break in its middle, with all details open; one request, for the
    file. A phone shows the list of labs, a wide screen the matrix too."""
    opened = open_page(browser, file, viewport={"width": width, "height": 800})
    page = opened.page
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert overflow(page) == (0, []) and broken_words(page) == []
    assert opened.requests == [file.as_uri()] and opened.messages == []
    assert page.locator(".matrix").is_visible() == (width > 1000)
    if width == 390:  # the test sees what it looks for
        page.set_viewport_size({"width": 200, "height": 800})
        assert overflow(page)[0] > 0 or broken_words(page)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_readable_in_light_and_dark_mode(opened: Opened, scheme: Literal["light", "dark"]) -> None:
    """A contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3), also on the colors of states."""
    page = opened.page
    page.emulate_media(color_scheme=scheme)
    assert min(contrast for _, contrast, _ in text_contrasts(page)) >= 4.5
    body = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (body == "rgb(255, 255, 255)") == (scheme == "light")


def test_each_state_has_a_sign_and_words_beside_its_color(opened: Opened) -> None:
    """In the matrix the words are for screen readers; in the list everybody sees them. The time has its zone."""
    page = opened.page
    cells = page.locator(".matrix td:not(:empty)")
    shown = {cell.rpartition(" by ")[0] or cell for cell in page.locator(".matrix .unseen").all_text_contents()}
    assert shown == set(STATES)
    assert all(sign.strip() for sign in page.locator(".matrix .sign").all_inner_texts())
    signs = dict(zip(page.locator(".matrix .unseen").all_text_contents(), cells.all_inner_texts(), strict=True))
    assert len(set(signs.values())) == len(signs), signs
    listed = page.locator(".counts .state").all_inner_texts()
    assert [text.partition(" ")[2] for text in listed] == list(STATES)
    expect(page.locator("header")).to_contain_text("As of 2026-03-14 12:00 UTC")


def test_labs_that_need_attention_come_first_and_tell_why(opened: Opened) -> None:
    """In each lab, too; what is current is folded, and counted."""
    page = opened.page
    first = page.locator(".lab").first
    assert "not found in subscription" in first.inner_text() and "unread" in first.inner_text()
    card = page.locator(".lab").nth(1)
    assert "holds" in card.inner_text() and "newest" in card.inner_text() and "41 days" in card.inner_text()
    states = card.locator("li").evaluate_all("(all) => all.map((one) => one.dataset.state)")
    assert states == sorted(states, key=STATES.index) and states[0] != "current"
    assert " current" in card.locator("summary").inner_text()
    assert page.locator(".lab").last.locator("> .cells li").count() == 0
    expect(page.locator(".stack").get_by_role("status")).to_contain_text("60 of 60 labs shown")


def test_filter_status_and_order_work_by_keyboard(opened: Opened) -> None:
    """Tab reaches them in reading order with a visible focus; matrix and list show the same labs."""
    page, keyboard = opened.page, opened.page.keyboard
    status = page.locator(".stack").get_by_role("status")
    before = labs(opened)
    keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keyboard.type("payments SQL.json Win2016")
    found = labs(opened)
    assert 0 < len(found) < len(before) and all(name.startswith("payments") for name in found)
    assert page.locator(".matrix td:not(.off):not(:empty)").count() == page.locator(".lab li:not([hidden])").count()
    keyboard.press("Tab")
    keyboard.type("miss")
    assert page.evaluate("document.activeElement.value") == "missing"
    expect(status).to_contain_text("0 of 60 labs shown")
    keyboard.press("Shift+Tab")
    keyboard.press("Delete")
    assert 0 < len(labs(opened)) < 60 and page.locator(".lab:not([hidden]) .folded:visible").count() == 0
    keyboard.press("Tab")
    keyboard.type("all")
    keyboard.press("Tab")
    keyboard.type("by name")
    assert labs(opened) == sorted(before)
    keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.value") == "age"
    assert labs(opened) != sorted(before)
    keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "matrix"
    keyboard.press("Tab")
    keyboard.press("Enter")
    assert page.locator(".lab:target").count() == 1


def test_without_script_the_page_shows_everything_except_controls(browser: Browser, file: Path) -> None:
    """Matrix and list, and details that open."""
    opened = open_page(browser, file, java_script_enabled=False, viewport={"width": 1280, "height": 800})
    page = opened.page
    assert page.locator(".lab").count() == 60 and page.get_by_role("searchbox").count() == 0
    page.locator(".folded summary").last.click()
    assert "holds" in page.locator(".folded").last.inner_text()
    page.close()
