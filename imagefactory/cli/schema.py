"""`imagefactory schema`: writes the JSON Schema of labs.json to the configuration folder.

Does not build the schema: `imagefactory.configuration.schema` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imagefactory.cli.terminal.output import say
from imagefactory.configuration.schema import SCHEMA_FILE, labs_schema
from imagefactory.diagnostics import Location, error
from imagefactory.errors import ImageFactoryError


def schema(
    configuration: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Configuration folder", file_okay=False, exists=True)
    ] = Path("Configuration"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if the file is out of date")] = False,
) -> None:
    """Write the JSON Schema of labs.json for editors.

    Writes labs.schema.json to the configuration folder, unless it is up to date.

    Exit codes: 0 the file is up to date, 1 it is out of date or cannot be written, 2 wrong usage.
    """
    path = configuration / SCHEMA_FILE
    try:
        current = path.is_file() and path.read_text(encoding="utf-8") == labs_schema()
        if not current and not check:
            path.write_text(labs_schema(), encoding="utf-8", newline="\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise ImageFactoryError(
            _diagnostic(path, f"cannot be read or written ({problem})", "Check its permissions")
        ) from None
    if not current and check:
        raise ImageFactoryError(_diagnostic(path, "is out of date", "Run `imagefactory schema`"))
    say(f"{path.as_posix()}: {'up to date' if current else 'written'}")


def _diagnostic(path: Path, fact: str, remedy: str) -> str:
    return error(
        "schema", fact, "editors validate labs.json against old rules", remedy, Location(path.as_posix())
    ).text()
