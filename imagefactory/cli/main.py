"""The application `imagefactory`, and the mapping of exceptions to exit codes.

Exit codes: 0 success, 1 failure, 2 wrong usage or configuration (1 for the errors that `validate` finds), and 128 plus
the signal's number if interrupted (see `imagefactory.cli.terminal.report`).
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from imagefactory import __version__
from imagefactory.cli.adopt import adopt
from imagefactory.cli.catalog import catalog
from imagefactory.cli.clean_vms import clean_vms
from imagefactory.cli.comment import comment
from imagefactory.cli.doctor import doctor
from imagefactory.cli.plan import plan
from imagefactory.cli.promote import promote
from imagefactory.cli.prune import prune
from imagefactory.cli.roles import roles
from imagefactory.cli.save import save
from imagefactory.cli.schema import schema
from imagefactory.cli.stacks import stacks
from imagefactory.cli.status import status
from imagefactory.cli.summary import summary
from imagefactory.cli.terminal.output import say, to_stderr
from imagefactory.cli.terminal.telemetry import traced
from imagefactory.cli.validate import validate
from imagefactory.errors import ConfigurationError, ImageFactoryError

app = typer.Typer(
    name="imagefactory",
    help="Validate, check, save, list, adopt, promote and prune images for DevTest Labs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command()(validate)
app.command()(doctor)
app.command()(plan)
app.command()(comment)
app.command()(status)
app.command()(catalog)
app.command()(save)
app.command()(adopt)
app.command()(promote)
app.command()(prune)
app.command("clean-vms")(clean_vms)
app.command()(summary)
app.command()(roles)
app.command()(schema)
app.command()(stacks)


def _show_version(*, wanted: bool) -> None:
    if wanted:
        say(f"imagefactory {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit"),
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command line. Always raises `SystemExit`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names in files may not fit the terminal's encoding
    try:
        with traced(" ".join(["imagefactory", *sys.argv[1:2]])):
            app()
    except ImageFactoryError as problem:
        to_stderr(str(problem))
        sys.exit(2 if isinstance(problem, ConfigurationError) else 1)
