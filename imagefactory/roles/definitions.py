"""Role definitions as JSON, as `az role definition create --role-definition` takes them. Does not write files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from imagefactory.roles.actions import Role

PLACEHOLDER = "/subscriptions/00000000-0000-0000-0000-000000000000"
_SCOPE = re.compile(
    r"/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(/resourceGroups/[^/?#%\s]+)?", re.IGNORECASE
)


def is_assignable(scope: str) -> bool:
    """Return whether a role can be assignable there: a subscription or a resource group.

    Not a management group, where no role with data actions can be ("Azure custom roles", documentation, limits).
    """
    return _SCOPE.fullmatch(scope) is not None


def definition(role: Role, scopes: Sequence[str] = (PLACEHOLDER,)) -> dict[str, Any]:
    """Return the definition of a role that can be assigned at these scopes and below."""
    when = f", with {_plain(role.option.meaning)}" if role.option else ""
    return {
        "Name": role.name,
        "IsCustom": True,
        "Description": f"Image factory, {role.purpose.value}{when}. Assign it at: {role.place.scope}.",
        "Actions": list(role.actions),
        "NotActions": [],
        "DataActions": list(role.data_actions),
        "NotDataActions": [],
        "AssignableScopes": list(scopes),
    }


def _plain(text: str) -> str:
    return text.replace("`", "")
