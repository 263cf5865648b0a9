"""The page of `imagefactory catalog --html` from the embedded cloud, opened in a real browser.

Everything that others can write (companions, blob names, the labs' custom images) contains markup here.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from imagefactory.reports.catalog_page import catalog_page
from imagefactory.reports.catalog_report import report_catalog
from localcloud.client import CloudClient
from tests.e2e.world import MIB, STACK, Lab, World
from tests.reports.browser.chromium import RUNS_HERE
from tests.reports.browser.pages import Opened, open_page, text_contrasts
from tests.unit.builders import NOON, catalog, image

pytestmark = pytest.mark.skipif(not RUNS_HERE, reason="the registry has this browser for Linux on x86-64 only")

ATTACK = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
LEFT_OUT = "<img src=x onerror=alert(1)>.vhd"
IN_LAB = '"onmouseover="alert(2)'
"""A name of a custom image, which may hold all but `<`, `>` and what else no id holds."""
RUN = "https://dev.azure.com/contoso/Images/_build/results?buildId=7&view=logs"
VM = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DevTestLab/labs/factory/virtualmachines/<b>web-vm"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
RUNS = {5: RUN, 6: "javascript:alert(3)", 7: 'https://x/"onmouseover="alert(4)', 8: "http://plain/run/1"}
"""The URL of the pipeline run in the companion, by the day of the image."""


@pytest.fixture(scope="module")
def world(
    cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], tmp_path_factory: pytest.TempPathFactory
) -> World:
    """Four images of two paths and a skipped blob; a lab with two of the images, and one that does not exist."""
    world = World(cloud, shell, accounts, tmp_path_factory.mktemp("page"))
    lab = world.add_lab("web-team", "Win2016", "Ubuntu")
    world.labs["gone"] = Lab("gone", world.subscription, "none")
    world.wishes["gone"] = ["Ubuntu"]
    for day, run in RUNS.items():
        path = "Ubuntu/Jammy.json" if day == 6 else "Win2016/Datacenter.json"
        world.define(path)
        name = f"{path.partition('.')[0].replace('/', '_')}-Jun-{day}-2026"
        world.images[name] = f"{name}.vhd"
        companion: dict[str, object] = {
            "imageName": name,
            "imagePath": path,
            "description": ATTACK,
            "author": ATTACK,
            "osType": "Linux" if day == 6 else "Windows",
            "osState": "Specialized" if day == 7 else "Generalized",
            "vhdFileName": f"{name}.vhd",
            "timestamp": f"2026-06-{day:02}T10:11:12Z",
            "hyperVGeneration": "V2",
            "vm": VM,
            "disk": f"/subscriptions/s/disks/{ATTACK}",
            "diskUniqueId": "disk-1",
            "commit": COMMIT,
            "pipelineRun": run,
            "dataDisks": [{"lun": 0, "vhdFileName": f"data-{day}.vhd"}],
        }
        _seed(world, f"{name}.vhd", (12 - day) * 16 * MIB, companion)
    _seed(world, LEFT_OUT, 16 * MIB, {})
    for day, name in ((5, "Win2016_Datacenter-Jun-5-2026"), (8, IN_LAB)):
        tags = {"ImagePath": "Win2016\\Datacenter.json", "SourceVhd": f"Win2016_Datacenter-Jun-{day}-2026.vhd"}
        world.seed_standing(lab, name, tags, "Succeeded" if day == 5 else "Creating")
    world.write_configuration()
    return world


def _seed(world: World, vhd: str, size: int, companion: dict[str, object]) -> None:
    document = {"lab": world.factory.name, "subscriptionId": world.subscription, "vhd": vhd, "sizeBytes": size}
    world.cloud.seed({"factoryImages": [{**document, "companion": companion}]})


@pytest.fixture(scope="module")
def file(world: World) -> Path:
    """The page as the command wrote it."""
    run = subprocess.run(
        ["imagefactory", "catalog", "--stack", STACK, "--html", "catalog.html"],
        cwd=world.folder,
        env=world.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "" and run.stderr == "catalog.html: 4 images, 1 skipped, 1 lab not read\n"
    return world.folder / "catalog.html"


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Opened]:
    """The page, newly opened."""
    one = open_page(browser, file)
    yield one
    one.page.close()


def test_the_page_is_self_contained_and_contains_no_markup_from_others(opened: Opened, file: Path) -> None:
    """One request, for the file; nothing on the console; only the page's own script and links."""
    page = opened.page
    assert page.title() == "Image catalog of factory"
    expect(page.get_by_role("status")).to_have_text("4 of 4 images shown.")
    assert opened.requests == [file.as_uri()] and opened.messages == []
    assert page.locator("script").count() == 1 and page.locator("img, iframe, object, link, base").count() == 0
    assert page.evaluate("document.querySelectorAll('[onerror], [onmouseover], [style]').length") == 0
    assert [link.get_attribute("href") for link in page.get_by_role("link").all()] == [RUN]


def test_strings_from_others_are_shown_unchanged(opened: Opened) -> None:
    """Markup is text: in descriptions, lineage, names of blobs and of custom images."""
    page = opened.page
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=re.compile("Jun-5-2026")))
    assert ATTACK in row.get_by_role("rowheader").inner_text()
    assert all(text in row.inner_text() for text in ("VM <b>web-vm", COMMIT[:12], "Windows", "generation 2"))
    row.get_by_text("Details").click()
    assert all(text in row.inner_text() for text in (VM, COMMIT, "disk-1", "LUN 0: data-5.vhd", "unknown"))
    for run in RUNS.values():
        assert run in page.locator("#catalog").inner_text()
    left_out = page.get_by_role("table", name="Blobs in the factory")
    assert LEFT_OUT in left_out.get_by_role("rowheader").inner_text()
    assert "would be escaped in a URL" in left_out.inner_text()


def test_labs_with_an_image_are_listed_and_labs_that_could_not_be_read_too(opened: Opened) -> None:
    """With name and state of the custom image if they differ from what is expected."""
    labs = [cell.inner_text().split() for cell in opened.page.locator("#catalog tbody td:nth-child(8)").all()]
    assert labs == [["none"], ["web-team", *f"{IN_LAB},".split(), "Creating"], ["none"], ["web-team"]]
    notice = opened.page.get_by_role("region", name="Labs that could not be read").inner_text()
    assert "gone" in notice and "not found in subscription" in notice


def test_the_versions_of_an_image_path_are_grouped_newest_first(opened: Opened) -> None:
    """Paths are sorted, and the versions of each path are counted."""
    assert opened.names() == ["6", "8", "7", "5"]
    versions = opened.page.locator("#catalog tbody td:nth-child(2)").all_inner_texts()
    assert versions == ["1 of 1", "1 of 3", "2 of 3", "3 of 3"]


def test_columns_sort_by_value_and_announce_it(opened: Opened) -> None:
    """Ages by time and sizes by bytes; one column at a time has aria-sort, and the status names it."""
    assert opened.sort("Age") == "ascending" and opened.names() == ["8", "7", "6", "5"]
    assert opened.sort("Age") == "descending" and opened.names() == ["5", "6", "7", "8"]
    assert opened.sort("Size") == "ascending" and opened.names() == ["8", "7", "6", "5"]
    assert opened.sort("Image") == "ascending" and opened.names() == ["6", "5", "7", "8"]
    assert opened.page.locator("[aria-sort]").all_inner_texts() == ["Image"]
    expect(opened.page.get_by_role("status")).to_have_text("4 of 4 images shown, by Image, ascending.")


def test_the_filter_shows_rows_with_all_words(opened: Opened) -> None:
    """Case-insensitive, also in closed details; the status announces the number."""
    box = opened.page.get_by_role("searchbox", name="Filter images")
    for words, days in (("jammy", ["6"]), ("WINDOWS data-7", ["7"]), ("<script>", ["6", "8", "7", "5"]), ("zz", [])):
        box.fill(words)
        assert opened.names() == days
        expect(opened.page.get_by_role("status")).to_have_text(f"{len(days)} of 4 images shown.")
    box.fill("win2016")
    assert opened.sort("Age") == "ascending" and opened.names() == ["8", "7", "5"]


def test_the_page_can_be_used_with_the_keyboard(opened: Opened) -> None:
    """Tab reaches filter, sort buttons and details in reading order, shows the focus, and Enter activates them."""
    keyboard, focused = opened.page.keyboard, "document.activeElement.textContent || document.activeElement.id"
    keyboard.press("Tab")
    assert opened.page.evaluate(focused) == "filter"
    for column in ("Image path", "Version", "Image", "Age"):
        keyboard.press("Tab")
        assert opened.page.evaluate(focused) == column
        assert opened.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keyboard.press("Enter")
    assert opened.names() == ["8", "7", "6", "5"]
    while not str(opened.page.evaluate(focused)).startswith("Details"):
        keyboard.press("Tab")
    keyboard.press("Enter")
    assert opened.page.locator("details[open]").count() == 1


def test_the_policy_blocks_injected_markup(opened: Opened) -> None:
    """If markup got in, no handler, style or request would work."""
    opened.page.evaluate(
        """new Promise((done) => {
            addEventListener("securitypolicyviolation", () => setTimeout(done, 50), { once: true });
            document.body.insertAdjacentHTML("beforeend",
                '<img src="https://elsewhere.invalid/x" onerror="document.title=1"><p style="color: red">x</p>');
            const script = document.createElement("script");
            script.textContent = "document.title = 'taken'";
            document.body.append(script);
        })"""
    )
    assert opened.page.title() == "Image catalog of factory"
    assert opened.failed == [("https://elsewhere.invalid/x", "csp")]
    console = " ".join(opened.messages)
    assert "Applying inline style violates" in console and "Executing inline script violates" in console


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_readable_in_light_and_dark_mode(browser: Browser, file: Path, scheme: str) -> None:
    """A contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3) to its background, which follows the mode."""
    opened = open_page(browser, file, color_scheme=scheme)
    found = text_contrasts(opened.page)
    opened.page.close()
    assert {"H1", "P", "TD", "DD", "A", "BUTTON", "CAPTION", "LABEL"} <= {tag for tag, _, _ in found}
    assert [(tag, contrast) for tag, contrast, _ in found if contrast < 4.5] == []
    assert all((ground < 0.2) == (scheme == "dark") for _, _, ground in found)


def test_without_script_the_page_shows_everything_except_controls(browser: Browser, file: Path) -> None:
    """All rows, and details that open; no filter and no buttons."""
    opened = open_page(browser, file, java_script_enabled=False)
    page = opened.page
    assert opened.names() == ["6", "8", "7", "5"]
    assert page.get_by_role("searchbox").count() == 0 and page.get_by_role("button").count() == 0
    assert "Image path\tVersion\tImage\tAge" in page.get_by_role("table").first.inner_text()
    page.locator("summary").first.click()
    assert "disk-1" in page.locator("#catalog").inner_text()
    page.close()


def test_in_print_details_are_open_and_controls_are_hidden(opened: Opened) -> None:
    """Black on white in both modes."""
    page = opened.page
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.get_by_text("LUN 0: data-5.vhd")).to_be_visible()
    expect(page.get_by_role("searchbox")).to_have_count(0)
    shown = "getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).color"
    assert page.evaluate(shown) == "rgb(255, 255, 255)rgb(0, 0, 0)"


def test_a_page_of_500_images_sorts_and_filters(browser: Browser, tmp_path: Path) -> None:
    """All of them."""
    images = (image(f"image-Jun-{number}-2026", age=number) for number in range(500))
    file = tmp_path / "many.html"
    file.write_text(catalog_page(report_catalog(catalog(*images), "factory", NOON)), encoding="utf-8")
    opened = open_page(browser, file)
    assert opened.sort("Age") == "ascending" and opened.names() == [str(number) for number in range(500)]
    assert opened.sort("Age") == "descending" and opened.names()[0] == "499"
    opened.page.get_by_role("searchbox").fill("image-jun-49")
    assert opened.names() == [*(str(number) for number in range(499, 489, -1)), "49"]
    assert opened.messages == []
    opened.page.close()
