"""The plan as Markdown: what leaves first and in bold, up to a limit, and names that are never markup."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from imagefactory.diagnostics import error
from imagefactory.plain_text import printable, redacted
from imagefactory.reports.plan_markdown import LIMIT, code, plan_markdown
from imagefactory.reports.plan_report import Change, LabReport, PlanReport
from tests.unit.builders import catalog, facts, image
from tests.unit.reports.plan_worlds import TEAM, held, in_state, reported

RENDER = MarkdownIt("commonmark", {"linkify": False}).enable(["table", "strikethrough"])
texts = st.text(max_size=30) | st.text("|`*_<>&\\[]()!#@:~$ \n\r-a1./", max_size=20)


def change(name: str = "image", why: str = "why") -> Change:
    """An image that leaves."""
    return Change("custom image", "delete", name, "Win2016/Datacenter.json", why, held=True, state="Succeeded")


def report(*changes: Change, labs: int = 1) -> PlanReport:
    """The report on labs that each lose these images."""
    return PlanReport("p/s", tuple(LabReport(f"lab{n}@1", TEAM.location, changes) for n in range(labs)))


@given(texts)
@example("|")
@example("`|`")
@example("a``b`")
@example("<script>@team #1 :x: https://example.org www.example.org")
def test_any_text_is_one_cell_of_code(text: str) -> None:
    """Whatever is in it: a table keeps its columns, and a renderer finds only code."""
    shown = RENDER.render(f"| a | b |\n| --- | --- |\n| {code(text)} | end |\n")
    found = re.fullmatch(r"(?s)<table>.*<tbody>\n<tr>\n<td>(.*)</td>\n<td>end</td>\n</tr>\n</tbody>\n</table>\n", shown)
    assert found, shown
    expected = printable(redacted(text))
    inner = re.fullmatch(r"<code>([^<]*)</code>", found[1]) if expected else None
    if expected:
        assert inner, shown
        plain = inner[1].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
        assert plain == expected
    else:
        assert found[1] == ""


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), texts)
def test_no_name_or_reason_becomes_markup(rows: list[tuple[str, str]], label: str) -> None:
    """The rendered page has the same elements for any names."""
    hostile = [change(name if printable(name) else "x", why) for name, why in rows]
    plain = [change("x", "y" if printable(why) else "") for _, why in rows]

    def elements(changes: list[Change], stack: str) -> list[str]:
        page = replace(report(*changes), stack=stack, failures=(error(stack or "x", "f", "c", "r"),))
        return re.findall(r"</?\w+", RENDER.render(plan_markdown(page)))

    assert elements(hostile, label) == elements(plain, "x" if printable(label) else "")


def test_what_leaves_comes_first_and_in_bold() -> None:
    """Before the tables of the labs; there too."""
    text = plan_markdown(
        reported(catalog(image("new")), in_state("old", "new"), {TEAM: facts("team", held("old"), held("new"))})
    )
    assert text.index("**`old`**") < text.index("#### Lab") < text.index("`new`")
    assert text.count("**`old`**") == 2 and "| **delete** | **`old`** | `Succeeded` |" in text
    assert "labs.json:7:22" in text and "To copy: 0 VHDs" in text


@given(st.integers(1, 12), st.integers(0, 8), st.integers(0, 300), st.sampled_from(["a", "|", "`"]))
def test_a_comment_never_exceeds_the_limit(labs: int, images: int, length: int, char: str) -> None:
    """Above it, each lab is summarized, what leaves is still named first, and what does not fit is counted."""
    limit = LIMIT // 20
    text = plan_markdown(report(*(change(f"image{n}", char * length) for n in range(images)), labs=labs), limit)
    assert len(text) <= limit
    if "too long" in text:
        assert ("**`image0`**" in text or "more." in text) and "| `lab0@1` |" in text


def test_a_plan_of_many_labs_is_a_summary_that_fits_a_comment() -> None:
    """Each of 60 labs in one row; what leaves is named first and in bold, as far as it fits."""
    text = plan_markdown(report(*(change(f"image{n}", "why it leaves " * 5) for n in range(40)), labs=60))
    assert len(text) <= LIMIT and all(f"| `lab{n}@1` | 40 delete |" in text for n in range(60))
    assert text.index("**`image0`**") < text.index("#### Labs") and " more." in text


def test_a_small_plan_is_complete() -> None:
    """Every image with its reason."""
    text = plan_markdown(report(*(change(f"image{n}", f"reason {n}") for n in range(50))))
    assert all(f"`reason {n}`" in text for n in range(50)) and "too long" not in text
