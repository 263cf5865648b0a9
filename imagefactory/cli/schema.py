"""`imagefactory schema`: the JSON Schema that editors use for labs.json.

Owns where it is written. The schema itself comes from `imagefactory.configuration.schema`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imagefactory.cli.output import tell
from imagefactory.configuration.schema import SCHEMA_FILE, labs_schema
from imagefactory.diagnostics import Location, error
from imagefactory.errors import ImageFactoryError


def schema(
    configuration: Annotated[Path, typer.Option(help="The configuration folder.", file_okay=False, exists=True)] = Path(
        "Configuration"
    ),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if the file is not current.")] = False,
) -> None:
    """Write the JSON Schema of labs.json for editors."""
    path = configuration / SCHEMA_FILE
    try:
        current = path.is_file() and path.read_text(encoding="utf-8") == labs_schema()
        if not current and not check:
            path.write_text(labs_schema(), encoding="utf-8", newline="\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise ImageFactoryError(
            _diagnostic(path, f"cannot be read or written ({problem})", "Look at its rights")
        ) from None
    if not current and check:
        raise ImageFactoryError(_diagnostic(path, "is not current", "Write it anew with `imagefactory schema`"))
    tell(f"{path.as_posix()}: {'current' if current else 'written'}")


def _diagnostic(path: Path, fact: str, remedy: str) -> str:
    return error("schema", fact, "editors judge labs.json by other rules", remedy, Location(path.as_posix())).text()
