"""Creates custom roles of the image factory and assigns them: a Pulumi program of its own.

Reads the role definitions in this folder. Configuration: `principalId`, the object id of an identity; `scopes`, the ids
of the subscriptions where roles can be assigned; `assignments`, for each role (the name of its file without `.json`)
the ids where it is assigned. Roles without assignments are not created.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pulumi
from pulumi_azure_native import authorization

config = pulumi.Config("imagefactory-roles")
scopes: list[str] = config.require_object("scopes")
assignments: dict[str, list[str]] = config.require_object("assignments")


def fixed_name(*parts: str) -> str:
    """Return the same GUID for the same parts, so that a lost state creates nothing twice."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(parts)))


for key, places in assignments.items():
    wanted = json.loads(Path(__file__).with_name(f"{key}.json").read_text("utf-8"))
    role = authorization.RoleDefinition(
        key,
        role_definition_id=fixed_name(scopes[0], wanted["Name"]),
        role_name=wanted["Name"],
        role_type="CustomRole",
        description=wanted["Description"],
        scope=scopes[0],
        assignable_scopes=scopes,
        permissions=[authorization.PermissionArgs(actions=wanted["Actions"], data_actions=wanted["DataActions"])],
    )
    for number, place in enumerate(places, start=1):
        authorization.RoleAssignment(
            f"{key}-{number}",
            role_assignment_name=fixed_name(place, wanted["Name"], config.require("principalId")),
            principal_id=config.require("principalId"),
            principal_type="ServicePrincipal",
            role_definition_id=role.id,
            scope=place,
        )
