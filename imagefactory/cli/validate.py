"""`imagefactory validate`: prints all errors and warnings of the configuration folder.

Formats them as text, JSON, or annotations of GitHub Actions and Azure Pipelines. Does not use the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from imagefactory.cli.stack import split_stacks
from imagefactory.cli.terminal.output import command_agent, count, say, show_document
from imagefactory.configuration.loading import check_split, fix_labs_file, load_configuration
from imagefactory.diagnostics import Diagnostic, Severity
from imagefactory.errors import ConfigurationError
from imagefactory.plain_text import printable


class Format(str, Enum):
    """Formats of diagnostics."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    AZURE = "azure"


def validate(
    configuration: Annotated[Path, typer.Option(metavar="FOLDER", help="Configuration folder")] = Path("Configuration"),
    labs: Annotated[str, typer.Option(metavar="FILE", help="Labs file in this folder")] = "labs.json",
    fix: Annotated[bool, typer.Option("--fix", help="First rewrite the labs file as strict JSON")] = False,
    output: Annotated[Format, typer.Option("--format", help="Format of errors and warnings")] = Format.TEXT,
) -> None:
    """Check labs.json and the golden images without network access.

    Prints all errors and warnings, each with its place and a remedy. The format json is a list of objects with the keys
    severity, file, line, column, subject, fact, consequence, remedy and message. The formats github and azure are
    annotations for GitHub Actions and Azure Pipelines.

    With --fix, comments and commas that JSON does not have are removed from the labs file, keys get their case, and a
    string in ImagePaths becomes a list. The file is replaced atomically; all else is kept, also its encoding.

    If stacks of this folder divide the labs of the file by the setting labsMatching, each lab must be served by exactly
    one of the stacks with the same factory.

    Exit codes: 0 no errors, 1 errors, 2 wrong usage.
    """
    counts: list[str] = []
    diagnostics: tuple[Diagnostic, ...] = ()
    try:
        if fix and (fixed := fix_labs_file(configuration, labs)):
            say(f"{(configuration / labs).as_posix()}: {count(fixed, 'place')} corrected", err=output is Format.JSON)
        found = load_configuration(configuration, labs, names=Severity.ERROR)
        diagnostics = found.warnings
        counts = [count(len(found.labs), "lab"), count(len(found.golden_images), "golden image")]
        diagnostics += tuple(check_split(configuration, labs, found.labs, split_stacks()))
    except ConfigurationError as problem:
        diagnostics += problem.diagnostics
    errors = sum(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    counts += [count(errors, "error"), count(len(diagnostics) - errors, "warning")]
    if output is Format.JSON:
        show_document([diagnostic.to_dict() for diagnostic in diagnostics])
    else:
        for diagnostic in diagnostics:
            if output is Format.TEXT:
                say(diagnostic.text())
            else:
                command_agent({Format.GITHUB: github_line, Format.AZURE: azure_line}[output](diagnostic))
        say(f"{configuration.as_posix()}: {', '.join(counts)}")
    raise typer.Exit(1 if errors else 0)


def github_line(diagnostic: Diagnostic) -> str:
    """Return a workflow command, escaped like `@actions/core` does; it contains no command of another agent."""
    escapes = {"%": "%25", "\r": "%0D", "\n": "%0A"}
    place = _properties(diagnostic, ("file", "line", "col"), _escaper({**escapes, ":": "%3A", ",": "%2C"}))
    return f"::{diagnostic.severity.value} {','.join(place)}".rstrip() + f"::{_escaper(escapes)(diagnostic.message())}"


def azure_line(diagnostic: Diagnostic) -> str:
    """Return a logging command, escaped like the agent's task library does; it contains no command of another agent."""
    escapes = {"%": "%AZP25", "\r": "%0D", "\n": "%0A"}
    names = ("sourcepath", "linenumber", "columnnumber")
    place = _properties(diagnostic, names, _escaper({**escapes, ";": "%3B", "]": "%5D"}))
    properties = ";".join([f"type={diagnostic.severity.value}", *place])
    return f"##vso[task.logissue {properties}]{_escaper(escapes)(diagnostic.message())}"


def _escaper(escapes: Mapping[str, str]) -> Callable[[str], str]:
    table = str.maketrans(dict(escapes))
    return lambda text: text.translate(table)


def _properties(diagnostic: Diagnostic, names: Iterable[str], escape: Callable[[str], str]) -> list[str]:
    place = diagnostic.location
    values = (printable(place.file), place.line, place.column) if place else ()
    return [f"{name}={escape(str(value))}" for name, value in zip(names, values, strict=False) if value is not None]
