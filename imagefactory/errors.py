"""The exceptions of the image factory, one for each distinct handling.

Owns the base that an edge catches. Refuses texts of its own: what is wrong is said by faults.
"""

from __future__ import annotations

from collections.abc import Iterable

from imagefactory.diagnostics import Fault
from imagefactory.plain_text import printable_lines, redacted


class ImageFactoryError(Exception):
    """Anything that the image factory reports to its user; the edge shows its text, never a traceback.

    Its text holds no secret and no command, whatever texts of others it was made of.
    """

    def __str__(self) -> str:
        return printable_lines(redacted(super().__str__()))


class ConfigurationError(ImageFactoryError):
    """labs.json, the golden images or the stack configuration are wrong. `faults` holds all that is, warnings too."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(fault.text() for fault in self.faults))
