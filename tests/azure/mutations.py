"""Documents that are bent as a faulty service or a proxy bends them, for property-based tests.

Keys are dropped, values are null, of another type or wrapped, and whole bodies are cut or replaced. Leaves out what no
reader can notice: no item of a list and no link to a next page is removed, no value becomes another of its type.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from typing import Any

from hypothesis import strategies as st

OTHERS: tuple[Any, ...] = (7, 0, -1.5, True, False, "x", "", [], ["x"], {}, {"x": 1}, [[]], 10**30)

BODIES = (
    b"",
    b"<html><body>Access denied by policy</body></html>",
    b"[]",
    b"null",
    b'"x"',
    b"7",
    b"{}",
    b"\xff\xfe\xfa",
    b"[" * 100_000,
    b'{"a": "\\ud800"}',
    b'{"value": [NaN]}',
)
"""Bodies that have nothing to do with the request."""


def paths(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each value in a document, but not that of the document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from paths(value, (*path, key))


def _bend(draw: st.DrawFn, document: Any, path: tuple[str | int, ...]) -> None:
    owner = document
    for step in path[:-1]:
        owner = owner[step]
    key, value = path[-1], owner[path[-1]]
    how = draw(st.sampled_from(["drop", "null", "type", "wrap", "text", "surrogate"]))
    if how == "drop" and isinstance(owner, dict):
        del owner[key]
    elif how == "type":
        owner[key] = draw(st.sampled_from([other for other in OTHERS if type(other) is not type(value)]))
    elif how == "wrap":
        owner[key] = draw(st.sampled_from([[value], {"value": value}, [value, value]]))
    elif how == "text" and not isinstance(value, str):
        owner[key] = json.dumps(value)
    elif how == "surrogate" and isinstance(value, str):
        owner[key] = value + "\ud800"
    else:
        owner[key] = None


@st.composite
def bent_bodies(draw: st.DrawFn, document: Any, unnoticed: Set[str | int] = frozenset({"nextLink"})) -> bytes:
    """Return the body of a response: the document with one to three faults, cut, or another body.

    Leaves the keys `unnoticed` alone, without which the document is another valid one.
    """
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(BODIES))
    document = json.loads(json.dumps(document))  # a deep copy would keep that two places share one object
    found = [path for path in paths(document) if path[-1] not in unnoticed]
    faults = draw(st.lists(st.sampled_from(found), min_size=1, max_size=3, unique=True))
    for path in sorted(faults, key=len, reverse=True):  # a value before what contains it
        _bend(draw, document, path)
    body = json.dumps(document).encode()
    return body[: draw(st.integers(0, len(body) - 1))] if draw(st.integers(0, 9)) == 0 else body
