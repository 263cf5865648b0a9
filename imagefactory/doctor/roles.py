"""What of a role an identity is not permitted to do, or is denied, at a scope. Pure.

The lists are in `imagefactory.roles`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from imagefactory.observed.permissions import Denial, Identity, Permission
from imagefactory.roles.actions import Role


@dataclass(frozen=True)
class Denied:
    """What a deny assignment denies of a role; not `certain`: by a group or under a condition, which is not known."""

    assignment: str
    actions: Sequence[str]
    certain: bool


def missing(role: Role, permissions: Iterable[Permission]) -> list[str]:
    """Return the actions that none of the permissions at a scope contains, in the order of the role."""
    given = tuple(permissions)
    return [
        action for action, on_data in _wanted(role) if not any(each.permits(action, on_data=on_data) for each in given)
    ]


def denied(role: Role, denials: Iterable[Denial], who: Identity) -> Iterator[Denied]:
    """Yield what each deny assignment at a scope denies of it to an identity, in the order of the role."""
    for denial in denials:
        found = {action: denial.denies(action, who, on_data=on_data) for action, on_data in _wanted(role)}
        for certain in (True, None):
            if actions := [action for action, denies in found.items() if denies is certain]:
                yield Denied(denial.name, actions, certain=bool(certain))


def is_conditional(role: Role, permissions: Iterable[Permission]) -> bool:
    """Return whether a part of it is permitted under a condition only."""
    return bool(missing(role, (each for each in permissions if not each.conditional)))


def _wanted(role: Role) -> list[tuple[str, bool]]:
    return [(action, False) for action in role.actions] + [(action, True) for action in role.data_actions]
