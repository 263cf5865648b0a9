"""The role definitions that are shown and written: those of the lists, in the files of docs/roles and its program."""

from __future__ import annotations

import asyncio
import json
import runpy
from pathlib import Path
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import mocks

from imagefactory.observed.permissions import Permission
from imagefactory.roles.actions import BLOBS, CONTAINERS, DELEGATION_KEY, Option, Purpose, Role, blob_action, blob_role
from imagefactory.roles.definitions import definition, is_assignable
from imagefactory.roles.purposes import ROLES, roles_of

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "permissions.md").read_text("utf-8")
BLOB_ACTIONS = (*(f"{BLOBS}/{verb}" for verb in ("read", "write", "delete")), f"{CONTAINERS}/write", DELEGATION_KEY)


def test_the_files_in_the_documents_are_the_role_definitions() -> None:
    """`imagefactory roles --folder docs/roles` with all options writes them; there are no others."""
    held = {file.name: json.loads(file.read_text("utf-8")) for file in (DOCS / "roles").glob("*.json")}
    assert held == {role.file: definition(role) for role in ROLES}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_each_role_is_a_row_of_the_page(role: Role) -> None:
    """With its file, where it is assigned, when, and its actions."""
    actions = "<br>".join(f"`{each}`" for each in (*role.actions, *role.data_actions))
    when = role.option.meaning if role.option else "always"
    section = PAGE.partition(f"\n## {role.purpose.label}\n")[2].partition("\n## ")[0]
    assert f"| [{role.name}](roles/{role.file}) | {role.place.scope} | {when} | {actions} |" in section


def test_a_role_permits_exactly_what_it_lists() -> None:
    """No wildcard, no action twice, no data action among the actions; and each role has a name of its own."""
    assert len({role.name for role in ROLES}) == len(ROLES)
    for role in ROLES:
        listed = [*role.actions, *role.data_actions]
        assert listed and len(set(listed)) == len(listed) and not any("*" in each for each in listed)
        assert all(each.startswith(f"{BLOBS}/") for each in role.data_actions)
        assert not any(each.startswith(f"{BLOBS}/") for each in role.actions)


def test_what_has_no_resource_group_is_in_the_roles_of_a_subscription() -> None:
    """`locations/...` of a provider is a resource of the subscription, which a role at a lab does not permit."""
    following = [role for role in ROLES if any("/locations/" in each for each in role.actions)]
    assert following and all(role.place.scope.startswith("subscription of") for role in following)


@given(st.sets(st.sampled_from(Option)), st.sampled_from(Purpose))
def test_an_option_only_adds_roles(options: set[Option], purpose: Purpose) -> None:
    """And those without an option are needed always."""
    found = roles_of(purpose, options)
    assert set(roles_of(purpose, ())) <= set(found)
    assert {role.option for role in found} <= {None, *options}


@pytest.mark.parametrize("action", BLOB_ACTIONS)
def test_the_built_in_role_that_an_error_names_has_the_action(action: str) -> None:
    """As "Azure built-in roles for Storage" (documentation) lists them."""
    container = (*(f"{CONTAINERS}/{verb}" for verb in ("read", "write", "delete")), DELEGATION_KEY)
    built_in = {
        "Storage Blob Data Reader": Permission((f"{CONTAINERS}/read", DELEGATION_KEY), (), (f"{BLOBS}/read",)),
        "Storage Blob Data Contributor": Permission(
            container, (), tuple(f"{BLOBS}/{each}" for each in ("read", "write", "delete", "add/action", "move/action"))
        ),
    }
    assert built_in[blob_role(action)].permits(action, on_data=action.startswith(f"{BLOBS}/"))


@pytest.mark.parametrize(
    ("method", "query", "action"),
    [
        ("GET", "", f"{BLOBS}/read"),
        ("HEAD", "", f"{BLOBS}/read"),
        ("GET", "?comp=pagelist", f"{BLOBS}/read"),
        ("GET", "?restype=container&comp=list", f"{BLOBS}/read"),
        ("PUT", "", f"{BLOBS}/write"),
        ("PUT", "?comp=page", f"{BLOBS}/write"),
        ("PUT", "?comp=lease", f"{BLOBS}/write"),
        ("DELETE", "", f"{BLOBS}/delete"),
        ("PUT", "?restype=container", f"{CONTAINERS}/write"),
        ("POST", "?restype=service&comp=userdelegationkey", DELEGATION_KEY),
    ],
)
def test_a_request_to_the_blob_service_needs_one_action(method: str, query: str, action: str) -> None:
    """As "Authorize with Microsoft Entra ID" (REST API of storage) lists them."""
    assert blob_action(method, f"https://account.blob.core.windows.net/container/blob{query}") == action


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("/subscriptions/22222222-2222-2222-2222-222222222222", True),
        ("/Subscriptions/22222222-2222-2222-2222-222222222222/resourcegroups/labs", True),
        ("/providers/Microsoft.Management/managementGroups/all", False),
        ("/subscriptions/x", False),
        ("/", False),
    ],
)
def test_roles_are_assignable_in_subscriptions_and_resource_groups(scope: str, expected: bool) -> None:
    """A role with data actions is not assignable in a management group."""
    assert is_assignable(scope) is expected


class Recorder(mocks.Mocks):
    """Keeps what a program registers."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.found[f"{args.typ.rpartition(':')[2]} {args.name}"] = dict(args.inputs)
        return f"id of {args.name}", dict(args.inputs)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(args.token)


def test_the_pulumi_program_creates_and_assigns_the_roles() -> None:
    """Each role that has assignments, with the actions of its file; an assignment for each place."""
    subscription = "/subscriptions/22222222-2222-2222-2222-222222222222"
    account = f"{subscription}/resourceGroups/labs/providers/Microsoft.Storage/storageAccounts/web"
    places = {"distribution-subscription": [subscription], "distribution-lab-storage": [account, f"{account}2"]}
    values = {"principalId": "me", "scopes": json.dumps([subscription]), "assignments": json.dumps(places)}
    recorder = Recorder()

    @mocks.test  # type: ignore[untyped-decorator]  # pulumi types its mocks, but not this decorator
    def program() -> None:
        runpy.run_path(str(DOCS / "roles" / "__main__.py"))

    loop = asyncio.new_event_loop()  # pulumi's mocks need a current one, and earlier tests leave none
    asyncio.set_event_loop(loop)
    try:
        mocks.set_mocks(recorder)
        pulumi.runtime.set_all_config({f"imagefactory-roles:{name}": value for name, value in values.items()})
        program()
    finally:
        pulumi.runtime.set_all_config({})
        asyncio.set_event_loop(None)
        loop.close()
    roles = {role.file.removesuffix(".json"): role for role in ROLES}
    for key, scopes in places.items():
        made, role = recorder.found[f"RoleDefinition {key}"], roles[key]
        assert (made["roleName"], made["assignableScopes"]) == (role.name, [subscription])
        (permission,) = made["permissions"]
        assert permission.get("actions", []) == [*role.actions]
        assert permission.get("dataActions", []) == [*role.data_actions]
        assigned = [recorder.found[f"RoleAssignment {key}-{number}"] for number, _ in enumerate(scopes, start=1)]
        assert [each["scope"] for each in assigned] == scopes
        assert {(each["principalId"], each["roleDefinitionId"]) for each in assigned} == {("me", f"id of {key}")}
    assert len(recorder.found) == 5
