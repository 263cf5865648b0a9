"""The status's page as HTML: the same structure for any values from others."""

from __future__ import annotations

from typing import get_args

from hypothesis import example, given

from imagefactory.diagnostics import error
from imagefactory.plain_text import printable
from imagefactory.reports.catalog_page import status_page
from imagefactory.reports.status import Cell, CellState, Dated, LabStatus, StackStatus
from tests.unit.builders import NOON
from tests.unit.reports.status_worlds import many_labs
from tests.unit.reports.test_catalog_page import Tree, report_of, texts


def status_of(text: str) -> StackStatus:
    """A status with `text` for every string, in all states."""
    cells = tuple(
        Cell(f"{text}{number}", state, 1, Dated(text, NOON), Dated(f"{text} 2", None), text)
        for number, state in enumerate(get_args(CellState))
    )
    lab = LabStatus(text, text, text, text, text, cells)
    return StackStatus(text, text, NOON, (lab,), failures=(error(text, text, text, text),))


@given(texts)
@example("</script><script>alert(1)</script>")
@example("\ud800")
@example('" onfocus="alert(1)" autofocus x="')
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    """Elements and attributes are the same as with harmless text, and the text is shown in each place."""
    page = status_page([status_of(text)], [(text, report_of(text))])
    shown = Tree(page)
    harmless = Tree(status_page([status_of("harmless")], [("harmless", report_of("harmless"))]))
    assert shown.elements == harmless.elements and shown.comments == 0
    assert "".join(shown.texts).count(printable(text)) >= 40
    page.encode()


def test_each_lab_of_the_matrix_leads_to_its_details_and_ids_are_unique() -> None:
    """With several stacks and catalogs."""
    stacks, report = [many_labs(7), many_labs(3)], report_of("x")
    tree = Tree(status_page(stacks, [("a", report), ("b", report)]))
    ids, links = tree.content("id"), [link for link in tree.content("href") if link and link.startswith("#")]
    assert len(set(ids)) == len(ids) and len(links) == 10
    assert {link[1:] for link in links} <= set(ids)
    assert set(tree.content("aria-labelledby")) <= set(ids)


def test_a_stack_that_could_not_be_read_has_its_error_and_no_matrix() -> None:
    """The page exists anyway."""
    stack = StackStatus("dev", "factory", NOON, (), failures=(error("stack dev", "is refused", "", "Fix that"),))
    page = status_page([stack], [])
    assert "is refused" in page and "<table" not in page
