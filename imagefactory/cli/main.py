"""The application `imagefactory`, and the one mapping from exceptions to exit codes.

Exit codes: 0 all is well, 1 something failed, 2 wrong usage or configuration (`validate` reports with 1).
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from imagefactory import __version__
from imagefactory.cli.catalog import catalog
from imagefactory.cli.clean_vms import clean_vms
from imagefactory.cli.output import tell
from imagefactory.cli.prune import prune
from imagefactory.cli.save import save
from imagefactory.cli.schema import schema
from imagefactory.cli.validate import validate
from imagefactory.errors import ConfigurationError, ImageFactoryError

app = typer.Typer(
    name="imagefactory",
    help="The golden images of Azure DevTest Labs: what is declared, saved and held.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command()(validate)
app.command()(catalog)
app.command()(save)
app.command()(prune)
app.command("clean-vms")(clean_vms)
app.command()(schema)


def _show_version(*, wanted: bool) -> None:
    if wanted:
        tell(f"imagefactory {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version of imagefactory."),
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command line. Always raises SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names in files may not fit the terminal's encoding
    try:
        app()
    except ImageFactoryError as problem:
        tell(str(problem), err=True)
        sys.exit(2 if isinstance(problem, ConfigurationError) else 1)
