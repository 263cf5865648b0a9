"""Image paths (`Win2016/Datacenter.json`) and the selectors of labs.json that match them.

Parses and compares both: `/` and `\\` are separators, components must match completely, and case is ignored. Rejects
paths that leave the image root. Does not access files.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from imagefactory.diagnostics import Location

_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def fold(text: str) -> str:
    """Return the string in the form in which names are compared: Unicode canonical caseless matching."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


@dataclass(frozen=True, order=True)
class ImagePath:
    """The relative path of a golden image; compared and ordered by its key, so case-insensitive."""

    parts: tuple[str, ...] = field(compare=False)
    key: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", tuple(fold(part) for part in self.parts))

    @classmethod
    def parse(cls, text: str) -> ImagePath:
        """Parse a path with either separator. Raises ValueError with the reason, a phrase for a diagnostic."""
        if _CONTROL.search(text):
            raise ValueError("contains a control character")
        if text.startswith(("/", "\\")) or _DRIVE.match(text):
            raise ValueError("is an absolute path")
        parts = tuple(part for part in re.split(r"[/\\]", text) if part not in {"", "."})
        if ".." in parts:
            raise ValueError("leaves the image root ('..')")
        if not any(part.strip() for part in parts):
            raise ValueError("names neither a file nor a folder")
        return cls(parts)

    @classmethod
    def read(cls, text: str | None) -> ImagePath | None:
        """Parse a path of a tag; None: it is missing or invalid."""
        try:
            return cls.parse(text or "")
        except ValueError:
            return None

    def __str__(self) -> str:
        return "/".join(self.parts)


def own_case(paths: Iterable[ImagePath]) -> dict[ImagePath, ImagePath]:
    """Return the paths, each by itself: looking up a path in any letter case returns the first one that equals it."""
    found: dict[ImagePath, ImagePath] = {}
    for path in paths:
        found.setdefault(path, path)
    return found


@dataclass(frozen=True)
class Selector:
    """One entry of a lab's ImagePaths: a golden image, or a folder with all golden images beneath it."""

    path: ImagePath
    location: Location | None = field(default=None, compare=False)
    """Its place in the labs file; None: it is not from a file."""

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Parse an entry of ImagePaths. Raises ValueError with the reason, a phrase for a diagnostic."""
        return cls(ImagePath.parse(text))

    def matches(self, image_path: ImagePath) -> bool:
        """Return whether the image path is this entry or is beneath it."""
        return image_path.key[: len(self.path.key)] == self.path.key

    def __str__(self) -> str:
        return str(self.path)
