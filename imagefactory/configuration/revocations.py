"""Names of revoked images: `Win2016_Datacenter-Jun-26-2026`, or `Win2016/Datacenter.json@<name>` for one image path.

Compares names as Azure does. Does not know which images exist: `imagefactory.planning.revocations` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from imagefactory.configuration.image_paths import ImagePath, fold


@dataclass(frozen=True, order=True)
class RevokedImage:
    """An image name, of all image paths or of one. Ordered by its text, in comparable form."""

    text: str = field(compare=False)
    name: str = field(init=False, compare=False)
    path: ImagePath | None = field(init=False, compare=False)
    """None: all image paths."""
    key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        before, separator, name = self.text.rpartition("@")
        if not name:
            raise ValueError("names no image")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "path", ImagePath.parse(before) if separator else None)
        object.__setattr__(self, "key", f"{'/'.join(self.path.key)}@{fold(name)}" if self.path else fold(name))

    def is_of(self, path: ImagePath | None, name: str) -> bool:
        """Return whether it names an image. `path` None: unknown, so only one of all image paths does."""
        return fold(name) == fold(self.name) and self.path in {None, path}

    def __str__(self) -> str:
        return self.text
