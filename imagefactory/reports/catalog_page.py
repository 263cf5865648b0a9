"""Catalog and status as one self-contained HTML page: no font, image, script or style is loaded.

Sets what the page may do (its Content-Security-Policy), and escapes text and URLs from elsewhere. The template, style
and script are in `page/`. Does not write files.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from imagefactory.diagnostics import Diagnostic
from imagefactory.images.lineage import short_commit
from imagefactory.plain_text import printable
from imagefactory.reports.catalog_report import CatalogReport, age_text, size_text, traits_text
from imagefactory.reports.status import LACKING, Cell, CellState, LabStatus, StackStatus

_URL = re.compile(r"https://[\w.~:\[\]%-]+(?:[/?#][\w.~:/?#\[\]@!$&'()*+,;=%-]*)?", re.ASCII | re.IGNORECASE)
"""The characters of RFC 3986, and no user name before the host."""


_SIGNS: dict[CellState, str] = {
    "unread": "?",
    "revoked": "!!",
    "failed": "!",
    "missing": "\N{MULTIPLICATION SIGN}",
    "behind": "\N{MINUS SIGN}",
    "incomplete": "\N{VULGAR FRACTION ONE HALF}",
    "foreign": "*",
    "leaving": "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}",
    "creating": "\N{HORIZONTAL ELLIPSIS}",
    "held back": "+",
    "no image": "\N{EN DASH}",
    "current": "\N{BULLET}",
}
"""Beside the color and, but for the matrix, the words; all fonts have them."""

_BREAKS = re.compile(r"(?<=[/\\\\_.@:=-])(?=\w)")
"""Where a line may end within a name: after a separator, never within a word."""


def catalog_page(report: CatalogReport) -> str:
    """Return the page of a catalog, to be encoded as UTF-8. Characters that do not print are shown as escapes."""
    return _page(f"Image catalog of {report.factory}", report.made_at, (), [("", report)])


def status_page(stacks: Sequence[StackStatus], catalogs: Sequence[tuple[str, CatalogReport]]) -> str:
    """Return the page of what labs hold, with the catalog of the factory of each stack (by its name)."""
    factories = ", ".join(dict.fromkeys(one.factory for one in stacks))
    return _page(f"Image status of {factories}", max(one.made_at for one in stacks), stacks, catalogs)


def _page(
    title: str, made_at: datetime, stacks: Sequence[StackStatus], catalogs: Sequence[tuple[str, CatalogReport]]
) -> str:
    style, script = _source("page.css"), _source("page.js")
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            made_at=made_at,
            stacks=stacks,
            catalogs=catalogs,
            lacking=LACKING,
            style=Markup(style),  # noqa: S704 - a file of this package
            script=Markup(script),  # noqa: S704 - a file of this package
            policy=_policy(style, script),
        )
    )


def is_link(url: str) -> bool:
    """Return whether a URL from elsewhere may become a link: complete, https, without a user name, shown unchanged."""
    if not _URL.fullmatch(url) or printable(url) != url:
        return False
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("imagefactory.reports", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters.update(
        age=age_text,
        size=size_text,
        traits=traits_text,
        short_commit=short_commit,
        breaks=_breaks,
        moment=_moment,
        sign=_sign,
        summary=_summary,
        oldest=_oldest,
    )
    environment.tests.update(link=is_link, unread=lambda found: isinstance(found, Diagnostic))
    return environment


def _shown(value: object) -> object:
    """Return the value of an expression, not yet escaped, with characters that do not print as escapes."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


def _breaks(text: str) -> Markup:
    """Return a name, escaped, that breaks only after its separators."""
    return Markup("<wbr>").join(_BREAKS.split(printable(text)))


def _moment(time: datetime) -> Markup:
    return Markup('<time datetime="{}">{:%Y-%m-%d %H:%M} UTC</time>').format(time.isoformat(), time)


def _sign(cell: Cell, is_alone: bool = True) -> str:
    """Return the sign of a state; where no words follow, with the number of images by which a lab is behind."""
    return f"{_SIGNS[cell.state]}{cell.behind}" if is_alone and cell.state == "behind" else _SIGNS[cell.state]


def _summary(stack: StackStatus) -> list[tuple[Cell, int]]:
    """Return a cell of each state, and how many there are."""
    return [(Cell("", state), number) for state, number in stack.counts.items()]


def _oldest(stack: StackStatus, lab: LabStatus) -> int:
    """Return the seconds since the oldest of the images that a lab holds of each path was saved; -1: unknown."""
    known = (cell.holds.saved_at for cell in lab.cells if cell.holds and cell.holds.saved_at)
    return max((int((stack.made_at - saved_at).total_seconds()) for saved_at in known), default=-1)


def _policy(style: str, script: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _source(name: str) -> str:
    return files("imagefactory.reports").joinpath(f"page/{name}").read_text("utf-8")
