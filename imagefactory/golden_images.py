"""Golden images: the JSON files beneath the image root.

Owns how they are found and what makes one unusable. Refuses to interpret their content (ARM templates) and to follow
links out of the root.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imagefactory.image_path import ImagePath


@dataclass(frozen=True)
class GoldenImage:
    """A golden image: its path relative to the image root and the file that defines it."""

    path: ImagePath
    file: Path
