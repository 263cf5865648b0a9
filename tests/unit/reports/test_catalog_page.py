"""The catalog's page as text: well-formed, and of the same build whatever others wrote into the values."""

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

VOID = {"meta", "input"}
texts = st.one_of(
    st.text(st.characters(codec=None), min_size=1),
    st.text("<>\"'&/= {}%#!-scriptSCRIPT\u202e\u2028\x00\r\n", min_size=1, max_size=40),
)


class Tree(HTMLParser):
    """The elements of a page in their order, and its texts; fails where a tag is not closed by its own."""

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
        """An element, by its name and those of its attributes."""
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Of the element that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text, references resolved."""
        if self._open and self._open[-1] not in {"script", "style"}:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        """There is none in a page of ours."""
        self.comments += 1

    def content(self, element: str) -> list[str | None]:
        """The values of an attribute."""
        return [value for name, value in self.attributes if name == element]


def report_of(text: str) -> CatalogReport:
    """A report in which every text that others can write is `text`, except the image path and the run's address."""
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
def test_no_text_changes_the_build_of_the_page(text: str) -> None:
    """The same elements with the same attributes as a harmless text gives; each text stands where it belongs."""
    page = catalog_page(report_of(text))
    told, harmless = Tree(page), Tree(catalog_page(report_of("harmless")))
    assert told.elements == harmless.elements and told.comments == 0
    assert "".join(told.texts).count(printable(text)) >= 10
    assert not any(value for value in told.content("href") if value != "https://run/1")
    page.encode()


@given(texts)
def test_an_image_path_of_any_text_is_shown(text: str) -> None:
    """It is all that other people can write and that is no plain text in the report."""
    path = ImagePath((text,))
    page = catalog_page(report_catalog(catalog(replace(image(), image_path=path)), "factory", NOON))
    assert printable(text) in "".join(Tree(page).texts)


@given(texts)
@example("javascript:alert(1)")
@example("//elsewhere/")
def test_an_address_becomes_a_link_only_if_it_is_one_of_https(address: str) -> None:
    """As it stands; else it is text."""
    for run in (address, f"https://run/{address}"):
        lineage = Lineage(pipeline_run=run)
        page = catalog_page(report_catalog(catalog(replace(image(), lineage=lineage)), "factory", NOON))
        links = [link for link in Tree(page).content("href") if link]
        assert links == ([run] if is_link(run) else [])
        assert all(link.lower().startswith("https://") and printable(link) == link for link in links)
        assert printable(run) in "".join(Tree(page).texts)


@pytest.mark.parametrize(
    ("address", "link"),
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
def test_which_addresses_are_links(address: str, link: bool) -> None:
    """Whole, https, of the characters of an address, and without a user's name in them."""
    assert is_link(address) is link


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else() -> None:
    """By their hashes; no address of anything to load stands in the page."""
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
    assert not re.search(r"url\(|@import|\bsrc=|https?://(?!run/1)", page)


def test_an_empty_factory_and_labs_that_were_not_read_make_a_page_too() -> None:
    """It says so, and has neither an empty table nor a column Labs."""
    empty = catalog_page(report_catalog(catalog(), "factory", NOON))
    assert "The factory holds no image" in empty and "<table" not in empty
    without = catalog_page(report_catalog(catalog(image()), "factory", NOON))
    assert "Labs</th>" not in without and "Labs</th>" in catalog_page(report_of("x"))
