"""The catalog as one self-contained HTML page: no font, image, script or style is loaded.

Sets what the page may do (its Content-Security-Policy), and escapes text and URLs from elsewhere. The template, style
and script are in `page/`. Does not write files.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from imagefactory.diagnostics import Diagnostic
from imagefactory.images.lineage import short_commit
from imagefactory.plain_text import printable
from imagefactory.reports.catalog_report import CatalogReport, age_text, size_text, traits_text

_URL = re.compile(r"https://[\w.~:\[\]%-]+(?:[/?#][\w.~:/?#\[\]@!$&'()*+,;=%-]*)?", re.ASCII | re.IGNORECASE)
"""The characters of RFC 3986, and no user name before the host."""


def catalog_page(report: CatalogReport) -> str:
    """Return the page, to be encoded as UTF-8. Characters that do not print are shown as escapes."""
    style, script = _source("catalog.css"), _source("catalog.js")
    return (
        _environment()
        .get_template("catalog.html")
        .render(
            report=report,
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
    environment.filters.update(age=age_text, size=size_text, traits=traits_text, short_commit=short_commit)
    environment.tests.update(link=is_link, unread=lambda found: isinstance(found, Diagnostic))
    return environment


def _shown(value: object) -> object:
    """Return the value of an expression, not yet escaped, with characters that do not print as escapes."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


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
