"""The settings of a stack that say which images labs have and when, under random changes, and what follows from them.

The images of the worlds are some months old, so the ages are those that all of them have, or none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random

NONE, ALL = 1, 3650
"""Ages in days: no image is as young; all are."""


class Policies:
    """`keep`, `keepDays`, `soakDays`, `revoked`, `revokedAction` and `rings`."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._keep = draw.choice((None, 1, 2))
        self._keep_days: int | None = None
        self._soak_days: int | None = None
        self._revoked: set[str] = set()
        self._action = "remove"
        self._pilot: str | None = None

    def change(self, images: Sequence[str]) -> str:
        """Change one of them, drawn; return which one and how."""
        kind = self._draw.choice(("keepDays", "soakDays", "revoked", "revokedAction", "rings", "rings"))
        if kind == "keepDays":
            self._keep_days = self._draw.choice((None, NONE, ALL))
        elif kind == "soakDays":
            self._soak_days = self._draw.choice((None, None, NONE, ALL))
        elif kind == "revoked":
            self._revoked ^= {self._draw.choice(images)}
        elif kind == "revokedAction":
            self._action = self._draw.choice(("remove", "report"))
        else:
            self._pilot = self._draw.choice((None, "web", "data"))
        told = {"keepDays": self._keep_days, "soakDays": self._soak_days, "revoked": sorted(self._revoked)}
        return f"{kind} {told | {'revokedAction': self._action, 'rings': self._pilot}}"

    def withhold_nothing(self) -> None:
        """End what keeps images from labs."""
        self._soak_days, self._revoked, self._pilot = None, set(), None

    def among(self, others: Mapping[str, object], images: Collection[str], labs: Collection[str]) -> dict[str, object]:
        """Return the settings of the stack, `others` and these, for the labs of labs.json."""
        self._revoked &= set(images)
        pilots = self.pilots(labs)
        rings = [{"name": "pilot", "labs": pilots}, {"name": "broad", "labs": ["*"], "soakDays": 0}] if pilots else None
        own = {
            "keep": self._keep,
            "keepDays": self._keep_days,
            "soakDays": self._soak_days,
            "revoked": dict.fromkeys(sorted(self._revoked), "a virus") or None,
            "revokedAction": self._action,
            "rings": rings,
        }
        return {name: value for name, value in {**others, **own}.items() if value is not None}

    def pilots(self, labs: Collection[str]) -> list[str]:
        """Return the labs of the first ring; empty: there are no rings."""
        return [name for name in sorted(labs) if name == self._pilot and len(labs) > 1]

    def is_revoked(self, image: str) -> bool:
        """Return whether an image is revoked, also if its name in a lab has a suffix."""
        return any(image == name or image.startswith(f"{name}-") for name in self._revoked)

    def chosen(self, newest: Sequence[str], pin: str | None) -> list[str]:
        """Return which images of a path labs have at the end, of all of them and the pinned one."""
        found = newest[: None if self._keep_days == ALL else self._keep]
        if pin is not None:
            found = [image for image in newest if image == pin]
        return [] if self._soak_days == ALL else [image for image in found if image not in self._revoked]
