"""Names of custom images: the one rule for which names Azure accepts, and names that follow it.

Derives a name from an image path and a day, in English regardless of the locale. Does not look at existing images: the
rule is for names to be created, because an image that exists shows that Azure accepted its name.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import count

from imagefactory.configuration.image_paths import ImagePath, fold

MAX_LENGTH = 80
LISTABLE = r"[^/\\?#%&<>\x00-\x1f\x7f]{0,79}[^/\\?#%&<>\x00-\x1f\x7f. ]"
"""A pattern of the names that existing images can have: an ARM id can contain them. Wider than the rule."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONGEST_DAY = "-Dec-30-2000"
_INVALID = re.compile(r"[^A-Za-z0-9_.-]")
_INVALID_RUN = re.compile(r"-*[^A-Za-z0-9_-][^A-Za-z0-9_]*(_?)")
_ACCENT = re.compile("[\u0300-\u036f]")
_LISTABLE = re.compile(LISTABLE)


def image_name(path: ImagePath, day: date, taken: Iterable[str] = ()) -> str:
    """Return `<last folder>_<file>-<MMM-d-yyyy>`; if that is taken, with the suffix `A`, `B` ... `Z`, `ZA` ...

    If Azure would reject the stem before the date, its invalid characters are replaced, it is cut to the length that is
    left, and 6 hex digits of the hash of the path keep it distinct from those of similar paths.
    """
    dated = f"-{_MONTHS[day.month - 1]}-{day.day}-{day.year}"
    used = {fold(other) for other in taken}
    names = (_stem(path, len(letters)) + dated + letters for letters in _suffixes())
    return next(name for name in names if fold(name) not in used)


def path_problem(path: ImagePath) -> str | None:
    """Return why `image_name` must alter the stem that the path has by itself, as a phrase; None if it need not."""
    return name_problem(_plain_stem(path) + _LONGEST_DAY)


def name_beside(name: str, vhd_name: str) -> str:
    """Return the name for an image of that VHD in a lab where another image has its name. Deterministic."""
    suffix = f"-{hashlib.sha256(vhd_name.encode()).hexdigest()[:6]}"
    return name[: MAX_LENGTH - len(suffix)] + suffix


def name_problem(name: str) -> str | None:
    """Return why Azure would reject the name of a new custom image, as a phrase; None if the name is valid.

    learn.microsoft.com, "Naming rules and restrictions for Azure resources", labs/customimages, allows 1 to 80 letters,
    digits, `_`, `-` and parentheses. The service itself (Azure/azure-devtestlab, issue 249) reports the rule
    `^[^_\\W][\\w-._]{0,79}(?<![-.])$`. A name is valid here if both agree on it; full stops count as valid, because
    the rule of the service names them.
    """
    if not name:
        return "it is empty"
    if len(name) > MAX_LENGTH:
        return f"it has {len(name)} characters, more than {MAX_LENGTH}"
    if invalid := _INVALID.search(name):
        return f"it contains {invalid[0]!r}; valid are the letters A to Z, digits, '_', '-' and '.'"
    if name[0] in "_-.":
        return f"it starts with {name[0]!r}, not with a letter or digit"
    if name[-1] in "-.":
        return f"it ends with {name[-1]!r}"
    return None


def is_listable(name: str) -> bool:
    """Return whether an existing custom image can have the name, valid for a new one or not."""
    return _LISTABLE.fullmatch(name) is not None


def _plain_stem(path: ImagePath) -> str:
    """Return the stem as the older scripts wrote it."""
    return re.sub(r"\.json", "", "_".join(path.parts[-2:]), flags=re.IGNORECASE).replace(".", "_").replace(" ", "-")


def _stem(path: ImagePath, reserved: int) -> str:
    """Return a stem that leaves room for any date and for `reserved` more characters."""
    plain, room = _plain_stem(path), MAX_LENGTH - len(_LONGEST_DAY) - reserved
    letters = _ACCENT.sub("", unicodedata.normalize("NFKD", plain))
    stem = _INVALID_RUN.sub(lambda run: run[1] or "-", letters).lstrip("_-")
    if stem == plain and len(stem) <= room:
        return stem
    digest = hashlib.sha256("/".join(path.key).encode()).hexdigest()[:6]
    return f"{stem[: room - len(digest) - 1].rstrip('_-')}-{digest}".lstrip("-")


def _suffixes() -> Iterator[str]:
    yield ""
    yield from ("Z" * (number // 26) + chr(ord("A") + number % 26) for number in count())
