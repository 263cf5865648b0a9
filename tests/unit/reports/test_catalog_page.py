"""The catalog's page as HTML: well-formed, with the same structure for any values from others."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.diagnostics import error, warning
from imagefactory.images.catalog import BlobDiagnostic
from imagefactory.images.companions import DataDisk
from imagefactory.images.lineage import Lineage
from imagefactory.plain_text import printable
from imagefactory.reports.catalog_page import catalog_page, is_link
from imagefactory.reports.catalog_report import CatalogReport, report_catalog
from tests.unit.builders import NOON, catalog, facts, image, lab, standing
from tests.unit.planning.factory.galleries import gallery, offering, version

VOID = {"meta", "input"}
texts = st.one_of(
    st.text(st.characters(codec=None), min_size=1),
    st.text("<>\"'&/= {}%#!-scriptSCRIPT\u202e\u2028\x00\r\n", min_size=1, max_size=40),
)


class Tree(HTMLParser):
    """The elements of a page in order, and its text; fails if a tag is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.comments = 0
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element with the names of its attributes; `wbr`, where a line of text may end, is none."""
        if tag == "wbr" and not attrs:
            return
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that it closes the element opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Record text with references resolved."""
        if self._open and self._open[-1] not in {"script", "style"}:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        """Count comments; the page has none."""
        self.comments += 1

    def content(self, element: str) -> list[str | None]:
        """Return the values of an attribute."""
        return [value for name, value in self.attributes if name == element]


def report_of(text: str) -> CatalogReport:
    """Return a report with `text` for every string from others, except the image path and the run's URL."""
    one = replace(
        image(text),
        description=text,
        author=text,
        vhd_name=text,
        digest=text,
        lineage=Lineage(f"/vms/{text}", f"/disks/{text}", text, text, "https://run/1"),
        data_disks=(DataDisk(0, text),),
        note=warning(text, text, text, text),
    )
    web, gone = lab(text), lab(f"{text} 2", subscription_id="other")
    found: Any = {
        web.key: facts(text, standing(text, source_vhd=text, state=text), region=text),
        gone.key: error(text, text, text, text),
    }
    held = catalog(one, left_out=(BlobDiagnostic(text, error(text, text, text, text)),))
    return report_catalog(held, text, NOON, [web, gone], found)


@given(texts)
@example("</script><script>alert(1)</script>")
@example("\ud800")
@example("{{ 7 * 7 }}")
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    """Elements and attributes are the same as with harmless text, and the text is shown in each place."""
    page = catalog_page(report_of(text))
    shown, harmless = Tree(page), Tree(catalog_page(report_of("harmless")))
    assert shown.elements == harmless.elements and shown.comments == 0
    assert "".join(shown.texts).count(printable(text)) >= 10
    assert not any(value for value in shown.content("href") if value != "https://run/1")
    page.encode()


@given(texts)
def test_an_image_path_of_any_text_is_shown(text: str) -> None:
    """It is the only string from others that the report does not keep as a string."""
    path = ImagePath((text,))
    page = catalog_page(report_catalog(catalog(replace(image(), image_path=path)), "factory", NOON))
    assert printable(text) in "".join(Tree(page).texts)


@given(texts)
@example("javascript:alert(1)")
@example("//elsewhere/")
@example("##")
def test_a_url_becomes_a_link_only_if_it_is_https(url: str) -> None:
    """Otherwise it is text."""
    for run in (url, f"https://run/{url}"):
        lineage = Lineage(pipeline_run=run)
        page = catalog_page(report_catalog(catalog(replace(image(), lineage=lineage)), "factory", NOON))
        links = [link for link in Tree(page).content("href") if link]
        assert links == ([run] if is_link(run) else [])
        assert all(link.lower().startswith("https://") and printable(link) == link for link in links)
        assert printable(run) in "".join(Tree(page).texts)


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://dev.azure.com/a/b%20c/_build/results?buildId=1&view=logs#x", True),
        ("HTTPS://gitlab.example:8443/g/p/-/pipelines/1", True),
        ("https://[2001:db8::1]/run", True),
        ("https://[/run", False),
        ("https://", False),
        ("https://:443/", False),
        ("https://user:secret@host/", False),
        ("https://trusted.example\\@elsewhere/", False),
        ("https://host/a b", False),
        ("https://host/\n", False),
        ("https://host/\u202e", False),
        ("https://hоst/", False),  # noqa: RUF001 - a Cyrillic letter is the point
        (" https://host/", False),
        ("http://host/", False),
        ("javascript:alert(1)//https://host", False),
        ("data:text/html,x", False),
        ("/relative", False),
        ("", False),
    ],
)
def test_which_urls_are_links(url: str, link: bool) -> None:
    """Complete https URLs with valid characters and without a user name."""
    assert is_link(url) is link


def test_the_policy_allows_only_the_pages_own_style_and_script() -> None:
    """By their hashes; the page contains no URL to load from."""
    page = catalog_page(report_of("x"))
    (policy,) = [value for value in Tree(page).content("content") if value and "default-src" in value]
    hashes = {
        name: b64encode(sha256(re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)[0].encode()).digest()).decode()
        for name in ("style", "script")
    }
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"url\(|@import|\bsrc=|https?://(?!(?:<wbr>)?run/)", page)


def test_an_empty_factory_has_a_page_without_a_table() -> None:
    """Without labs, the table has no column Labs."""
    empty = catalog_page(report_catalog(catalog(), "factory", NOON))
    assert "The factory has no image to distribute" in empty and "<table" not in empty
    without = catalog_page(report_catalog(catalog(image()), "factory", NOON))
    assert "Labs</th>" not in without and "Labs</th>" in catalog_page(report_of("x"))


def test_the_page_shows_the_traits_of_disks_and_which_labs_offer_an_image_by_the_gallery() -> None:
    """Beside the labs that have its custom image."""
    team = lab()
    one = replace(image("a"), generation="V2", security_type="TrustedLaunch", data_disks=(DataDisk(0, "a.lun0.vhd"),))
    found = {team.key: offering("d0")}
    report = report_catalog(catalog(one), "factory", NOON, [team], found, gallery(version("a.vhd")))
    text = " ".join("".join(Tree(catalog_page(report)).texts).split())
    assert "Windowsgeneralized, generation 2, Trusted Launch, 1 data disk" in text
    assert "Security typeTrustedLaunch" in text and "teamby the gallery" in text
