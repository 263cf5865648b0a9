"""The exceptions of the image factory, one for each distinct handling.

Owns the base that an edge catches. Refuses texts of its own: what is wrong is said by faults.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from imagefactory.faults import Fault

_QUERY = re.compile(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>]*")


def redacted(text: str) -> str:
    """`text` without the query of any URL in it, for that is where a SAS is. Whatever shows foreign text calls it."""
    return _QUERY.sub(r"\1", text)


class ImageFactoryError(Exception):
    """Anything that the image factory reports to its user; the edge shows its text, never a traceback."""


class ConfigurationError(ImageFactoryError):
    """labs.json, the golden images or the stack configuration are wrong. `faults` holds all that is, warnings too."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(fault.text() for fault in self.faults))
