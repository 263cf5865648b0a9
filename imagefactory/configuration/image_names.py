"""Names of custom images.

Builds a name from an image path and a day (in English, regardless of the locale) and checks which names Azure accepts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import date
from itertools import count

from imagefactory.configuration.image_paths import ImagePath, fold

MAX_LENGTH = 80
"""Characters; learn.microsoft.com, "Naming rules and restrictions for Azure resources", labs/customimages."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_INVALID = re.compile(r"[/\\?#%&<>\x00-\x1f\x7f]")


def image_name(path: ImagePath, day: date, taken: Iterable[str] = ()) -> str:
    """Return `<last folder>_<file>-<MMM-d-yyyy>`; if that is taken, with the suffix `A`, `B` ... `Z`, `ZA` ..."""
    stem = re.sub(r"\.json", "", "_".join(path.parts[-2:]), flags=re.IGNORECASE).replace(".", "_").replace(" ", "-")
    name = f"{stem}-{_MONTHS[day.month - 1]}-{day.day}-{day.year}"
    used = {fold(other) for other in taken}
    letters = ("Z" * (number // 26) + chr(ord("A") + number % 26) for number in count())
    candidates = (name + letter for letter in letters)
    return name if fold(name) not in used else next(other for other in candidates if fold(other) not in used)


def name_beside(name: str, vhd_name: str) -> str:
    """Return the name for an image of that VHD in a lab where another image has its name. Deterministic."""
    suffix = f"-{hashlib.sha256(vhd_name.encode()).hexdigest()[:6]}"
    return name[: MAX_LENGTH - len(suffix)] + suffix


def name_problem(name: str) -> str | None:
    """Return why the name is invalid in DevTest Labs or a resource id, as a phrase; None if it is valid."""
    if not name.strip():
        return "it is empty"
    if len(name) > MAX_LENGTH:
        return f"it has {len(name)} characters, more than {MAX_LENGTH}"
    if invalid := _INVALID.search(name):
        return f"it contains {invalid[0]!r}"
    if name[-1] in ". ":
        return "it ends in a full stop or a space"
    return None
