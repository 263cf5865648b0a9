"""`imagefactory roles`: shows the custom roles that each purpose needs, or writes their definitions.

Does not know what they contain: `imagefactory.roles` does. Uses no network, creates and assigns nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from imagefactory.cli.terminal.output import count, say, show_document, show_table
from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError
from imagefactory.roles.actions import Option, Purpose, Role
from imagefactory.roles.definitions import PLACEHOLDER, definition, is_assignable
from imagefactory.roles.purposes import roles_of

_Purposes = Annotated[list[Purpose] | None, typer.Option(help="Purpose of the identity (repeatable; default: all)")]
_Ways = Annotated[list[Option] | None, typer.Option("--with", help="Way to run that needs other roles (repeatable)")]
_Scopes = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", help="Subscription or resource group where they can be assigned (repeatable)"),
]
_Folder = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write a JSON file of each role there", file_okay=False, exists=True),
]


def roles(
    purpose: _Purposes = None,
    options: _Ways = None,
    scope: _Scopes = None,
    folder: _Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the role definitions as JSON")] = False,
) -> None:
    """List the custom roles that each purpose needs, or write their definitions.

    Each row is a role with the scope at which it is assigned and its actions. With --folder, each is a file, as az role
    definition create takes it.

    Exit codes: 0 success, 1 a file cannot be written, 2 wrong usage.
    """
    scopes = scope or [PLACEHOLDER]
    for each in scopes:
        if not is_assignable(each):
            raise typer.BadParameter(
                f'"{each}" is not the id of a subscription or resource group', param_hint="--scope"
            )
    ways = set(options or ()) | (set() if Option.KEY in (options or ()) else {Option.AAD})
    found = [role for each in purpose or list(Purpose) for role in roles_of(each, ways)]
    if folder:
        for role in found:
            _write(folder / role.file, role, scopes)
        say(f"{folder.as_posix()}: {count(len(found), 'role')} written", err=as_json)
    if as_json:
        show_document([definition(role, scopes) for role in found])
    elif not folder:
        rows = [(role.name, role.place.scope, "\n".join((*role.actions, *role.data_actions))) for role in found]
        show_table("Custom roles", ("Role", "Assign at", "Actions"), rows)


def _write(file: Path, role: Role, scopes: list[str]) -> None:
    try:
        file.write_text(f"{json.dumps(definition(role, scopes), indent=2)}\n", "utf-8", newline="\n")
    except OSError as problem:
        fact, remedy = f"cannot be written ({problem.strerror})", "Check permissions and free disk space"
        raise ImageFactoryError(
            error(f"file {file}", fact, "the roles after it are not written", remedy).text()
        ) from None
