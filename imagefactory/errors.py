"""The exceptions of the image factory, one for each distinct handling.

Owns the base that an edge catches. Refuses texts of its own: what is wrong is said by diagnostics.
"""

from __future__ import annotations

from collections.abc import Iterable

from imagefactory.diagnostics import Diagnostic
from imagefactory.plain_text import printable_lines, redacted


class ImageFactoryError(Exception):
    """Anything that the image factory reports to its user; the edge shows its text, never a traceback.

    Its text holds no secret and no command, whatever texts of others it was made of.
    """

    def __str__(self) -> str:
        return printable_lines(redacted(super().__str__()))


class ConfigurationError(ImageFactoryError):
    """labs.json, the golden images or the stack configuration are wrong. `diagnostics` has errors and warnings."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(diagnostic.text() for diagnostic in self.diagnostics))
