"""Names of custom images.

Owns how a name is made from an image path and a day (English whatever the locale) and which names Azure can take.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from imagefactory.image_path import ImagePath


def image_name(path: ImagePath, day: date, taken: Iterable[str] = ()) -> str:
    """`<last folder>_<file>-<MMM-d-yyyy>`; if that is taken, with `A`, `B` ... behind it."""
    raise NotImplementedError


def name_fault(name: str) -> str | None:
    """Why DevTest Labs or a resource id cannot take the image name, as a phrase; None if it can."""
    raise NotImplementedError
