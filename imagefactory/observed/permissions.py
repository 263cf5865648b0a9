"""What an identity may do at a scope, and what is denied there, as Azure returned it. `imagefactory.azure` reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

EVERYONE = "00000000-0000-0000-0000-000000000000"
"""The id of the principal that stands for all of a directory ("Understand Azure deny assignments", documentation)."""


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


@dataclass(frozen=True)
class Principal:
    """Whom a deny assignment names: a user, a service principal, a group, or everyone."""

    id: str
    kind: str = ""

    @property
    def may_be_group(self) -> bool:
        """Whether its members are meant; an unknown kind may be one."""
        return self.kind not in {"User", "ServicePrincipal", "Device", "SystemDefined"}


@dataclass(frozen=True)
class Identity:
    """An identity as deny assignments name it, by object ids; `groups` None: not known which it is a member of."""

    object_id: str = ""
    groups: frozenset[str] | None = None


@dataclass(frozen=True)
class Denial:
    """A deny assignment: it takes away what roles permit ("Understand Azure deny assignments", documentation)."""

    name: str
    scope: str
    denied: tuple[Permission, ...]
    principals: tuple[Principal, ...]
    excluded: tuple[Principal, ...] = ()
    at_scope_only: bool = False
    """`doNotApplyToChildScopes`."""

    def is_at(self, scope: str) -> bool:
        """Return whether it counts at a scope in a subscription that shows it."""
        own, above = scope.lower().rstrip("/"), self.scope.lower().rstrip("/")
        if own == above or self.at_scope_only:
            return own == above
        return own.startswith(f"{above}/") or not above.startswith("/subscriptions/")  # or that of a management group

    def concerns(self, who: Identity) -> bool | None:
        """Return whether it concerns an identity; None: that depends on what is not known, such as its groups."""
        excluded, named = _names(self.excluded, who), _names(self.principals, who)
        if excluded or named is False:
            return False
        return None if excluded is None else named

    def denies(self, action: str, who: Identity, *, on_data: bool = False) -> bool | None:
        """Return whether it denies an action to an identity; None: perhaps, by a group or under a condition."""
        found = [each for each in self.denied if each.permits(action, on_data=on_data)]
        concerns = self.concerns(who) if found else False
        return None if concerns and all(each.conditional for each in found) else concerns


def _names(principals: Iterable[Principal], who: Identity) -> bool | None:
    given = tuple(principals)
    own = {who.object_id.lower(), EVERYONE, *(group.lower() for group in who.groups or ())}
    if any(each.id.lower() in own for each in given if each.id):
        return True
    unsure = (each for each in given if not who.object_id or (each.may_be_group and who.groups is None))
    return None if any(unsure) else False


def _any(patterns: Iterable[str], action: str) -> bool:
    return any(_pattern(each).fullmatch(action) for each in patterns)


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.IGNORECASE | re.DOTALL)
