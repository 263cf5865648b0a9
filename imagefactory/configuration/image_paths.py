"""Image paths (`Win2016/Datacenter.json`) and the selectors of labs.json that pick them.

Owns how both are read and compared: `/` and `\\` separate, whole components match, letter case does not matter.
Refuses anything that leaves the image root. Touches no file.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def fold(text: str) -> str:
    """The text in the form in which names are compared: canonical caseless matching of the Unicode standard."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


@dataclass(frozen=True, order=True)
class ImagePath:
    """The relative path of a golden image; equal and ordered by its key, so without regard to letter case."""

    parts: tuple[str, ...] = field(compare=False)
    key: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", tuple(fold(part) for part in self.parts))

    @classmethod
    def parse(cls, text: str) -> ImagePath:
        """Read a path as people and PowerShell write it. Raises ValueError with the reason for a diagnostic."""
        if _CONTROL.search(text):
            raise ValueError("has a control character in it")
        if text.startswith(("/", "\\")) or _DRIVE.match(text):
            raise ValueError("is an absolute path")
        parts = tuple(part for part in re.split(r"[/\\]", text) if part not in {"", "."})
        if ".." in parts:
            raise ValueError("leaves the image root with '..'")
        if not any(part.strip() for part in parts):
            raise ValueError("names no file and no folder")
        return cls(parts)

    def __str__(self) -> str:
        return "/".join(self.parts)


@dataclass(frozen=True)
class Selector:
    """One entry of a lab's ImagePaths: a golden image, or a folder with all that lies beneath it."""

    path: ImagePath

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read an entry of ImagePaths. Raises ValueError with the reason, a phrase for a diagnostic."""
        return cls(ImagePath.parse(text))

    def matches(self, image_path: ImagePath) -> bool:
        """Whether the image path is this entry or lies beneath it."""
        return image_path.key[: len(self.path.key)] == self.path.key

    def __str__(self) -> str:
        return str(self.path)
