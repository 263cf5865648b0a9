"""`imagefactory roles`: what it prints and writes, and the ids that it rejects."""

from __future__ import annotations

import json
from pathlib import Path

from imagefactory.roles.actions import LIST_KEYS
from tests.unit.cli.conftest import Verb
from tests.unit.cli.test_reference import check_keys

SCOPE = "/subscriptions/22222222-2222-2222-2222-222222222222"


def test_roles_are_shown_with_their_scope_and_actions(verb: Verb) -> None:
    """Those of the purpose, by default for access to storage with the run's identity."""
    shown = verb("roles", "--purpose", "prune")
    assert shown.code == 0 and "Image Factory Prune Lab Storage" in shown.out and "Preview" not in shown.out
    assert "storage account of each target lab" in shown.out and "containers/blobs/delete" in shown.out
    keys = verb("roles", "--purpose", "prune", "--with", "key").out
    assert LIST_KEYS in keys and "containers/blobs" not in keys


def test_every_json_key_is_documented_and_each_file_is_one_of_the_roles(verb: Verb, tmp_path: Path) -> None:
    """Assignable where --scope says; the message about the files does not disturb the document."""
    options = ("--purpose", "save", "--purpose", "doctor", "--scope", SCOPE, "--folder", str(tmp_path))
    told = verb("roles", "--json", *options)
    assert told.code == 0 and "4 roles written" in told.err
    check_keys("roles", told.document, "[].NotActions[]", "[].NotDataActions[]")
    assert {scope for role in told.document for scope in role["AssignableScopes"]} == {SCOPE}
    assert [json.loads(file.read_text("utf-8")) for file in sorted(tmp_path.glob("*.json"))] == sorted(
        told.document, key=lambda role: str(role["Name"].lower())
    )


def test_roles_are_not_assignable_anywhere_else(verb: Verb) -> None:
    """A management group is no place for a role with data actions."""
    told = verb("roles", "--scope", "/providers/Microsoft.Management/managementGroups/all")
    assert told.code == 2 and "is not the id of a subscription or" in " ".join(told.err.replace("│", "").split())


def test_a_file_that_cannot_be_written_is_an_error_without_traceback(verb: Verb, tmp_path: Path) -> None:
    """A folder has its name."""
    (tmp_path / "preview-subscription.json").mkdir()
    told = verb("roles", "--purpose", "preview", "--folder", str(tmp_path))
    assert told.code == 1 and "cannot be written (Is a directory)" in told.err
