"""Why a lab gets an image or loses it, in words: the entry of labs.json with its line, and the rule."""

from __future__ import annotations

from collections.abc import Sequence

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.rings import ring_of
from imagefactory.configuration.stack_settings import Settings


def why_listed(lab: TargetLab, path: ImagePath, settings: Settings, rule: str = "") -> str:
    """Return the entry of labs.json that gives a lab an image path, and which images of the path labs get.

    `rule` is what gives labs one image, if it is known.
    """
    which = which_rule(path, settings, rule) or _rule_of(path, settings)
    return f"{entry_of(lab, path)}, {which}{_ring_of(lab, settings)}"


def which_rule(path: ImagePath, settings: Settings, rule: str) -> str:
    """Return the rule that gives labs one image if it is one of several, or not the usual one; else an empty string."""
    is_one_of_several = bool(settings.keep and settings.keep_days) and path not in settings.pins
    return rule if is_one_of_several or "revoked" in rule else ""


def entry_of(lab: TargetLab, path: ImagePath) -> str:
    """Return the entry of labs.json that gives a lab an image path: `labs.json:7:22 "Win2016"`."""
    selector = lab.selector_of(path)
    if selector is None:
        return f"{lab.location} has no entry for {path}"
    return f'{selector.location or lab.location} "{selector}"'


def _ring_of(lab: TargetLab, settings: Settings) -> str:
    if not settings.rings:
        return ""
    number = ring_of(settings.rings, lab)
    ring, days = settings.rings[number], settings.rings[number].soak_days
    after = f" after ring {settings.rings[number - 1].name}" if number else ""
    after += f" and {days} day{'' if days == 1 else 's'}" if number and days else ""
    return f", ring {ring.name}{after} (setting rings)"


def some(names: Sequence[str]) -> str:
    """Return the first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _rule_of(path: ImagePath, settings: Settings) -> str:
    if path in settings.pins:
        return f"pinned to {settings.pins[path]} (setting pins)"
    rule = f"the newest {settings.keep} of its path (setting keep)" if settings.keep else "all images of its path"
    if settings.keep and settings.keep_days:
        rule += f" and those younger than {settings.keep_days} days (setting keepDays)"
    return f"{rule}, at least {settings.soak_days} days old (setting soakDays)" if settings.soak_days else rule
