"""Names of custom images.

Owns how a name is made from an image path and a day (English whatever the locale) and which names Azure can take.
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
_REFUSED = re.compile(r"[/\\?#%&<>\x00-\x1f\x7f]")


def image_name(path: ImagePath, day: date, taken: Iterable[str] = ()) -> str:
    """`<last folder>_<file>-<MMM-d-yyyy>`; if that is taken, with `A`, `B` ... `Z`, `ZA` ... behind it."""
    stem = re.sub(r"\.json", "", "_".join(path.parts[-2:]), flags=re.IGNORECASE).replace(".", "_").replace(" ", "-")
    name = f"{stem}-{_MONTHS[day.month - 1]}-{day.day}-{day.year}"
    used = {fold(other) for other in taken}
    letters = ("Z" * (number // 26) + chr(ord("A") + number % 26) for number in count())
    candidates = (name + letter for letter in letters)
    return name if fold(name) not in used else next(other for other in candidates if fold(other) not in used)


def name_beside(name: str, vhd_name: str) -> str:
    """The name of an image made from that VHD in a lab where another image has its own name. Always the same one."""
    suffix = f"-{hashlib.sha256(vhd_name.encode()).hexdigest()[:6]}"
    return name[: MAX_LENGTH - len(suffix)] + suffix


def name_problem(name: str) -> str | None:
    """Why DevTest Labs or a resource id cannot take the image name, as a phrase; None if it can."""
    if not name.strip():
        return "the name is empty"
    if len(name) > MAX_LENGTH:
        return f"{len(name)} characters are more than {MAX_LENGTH}"
    if refused := _REFUSED.search(name):
        return f"{refused[0]!r} cannot stand in it"
    if name[-1] in ". ":
        return "it ends in a full stop or a space"
    return None
