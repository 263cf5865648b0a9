"""What an identity may do at a scope, as Azure returned it. Does not read it: `imagefactory.azure` does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Permission:
    """What one role assignment permits; each action is a pattern in which `*` is any text, in any case.

    `not_actions` take away from the same role only, so another role can still permit them (documentation of Azure role
    definitions).
    """

    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()
    conditional: bool = False
    """Whether the assignment has a condition, which is not evaluated here."""

    def permits(self, action: str, *, on_data: bool = False) -> bool:
        """Return whether the role permits the action, if its condition is met."""
        given, taken = (self.data_actions, self.not_data_actions) if on_data else (self.actions, self.not_actions)
        return _any(given, action) and not _any(taken, action)


def _any(patterns: Iterable[str], action: str) -> bool:
    return any(_pattern(each).fullmatch(action) for each in patterns)


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.IGNORECASE | re.DOTALL)
