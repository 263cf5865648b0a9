"""`imagefactory summary`: what runs of `pulumi up` did to each lab, and what they did not.

Parses the options and renders the result. Does not interpret the log: `imagefactory.state.run_log` does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagefactory.cli.plan import Format
from imagefactory.cli.stack import stack_settings
from imagefactory.cli.terminal.output import show_document, show_markdown, to_stderr
from imagefactory.cli.terminal.report import Lines, Part, Table, show
from imagefactory.errors import ConfigurationError
from imagefactory.images.lineage import of_pipeline

if TYPE_CHECKING:
    from imagefactory.reports.run_summary import RunSummary


def summary(
    logs: Annotated[list[Path], typer.Argument(metavar="LOG...", help="Event logs of the runs, in their order")],
    output: Annotated[Format, typer.Option("--format", help="Format of the summary")] = Format.TEXT,
    notify: Annotated[bool, typer.Option("--notify", help="Also tell the channel of the setting notify")] = False,
) -> None:
    """List what `pulumi up` did to the images of each lab, and what it did not.

    Reads the event logs of the engine, which PULUMI_DEBUG_COMMANDS=true pulumi up --event-log LOG writes. Several logs
    are of runs one after the other, such as a run and its repetition: only what the last one left undone is not done.
    The log of a run that was killed is used as far as it goes; the result is then interrupted. The format markdown is
    for the page of a pipeline run, up to 60,000 characters.

    Needs no network access and no credentials, except that --notify posts to a webhook, whose URL is in the
    environment. It tells of changes and failures only. A message that is not sent is a warning.

    Exit codes: 0 everything is done, 1 something is not done or a log cannot be used, 2 wrong usage.
    """
    from imagefactory.state.run_log import read_logs

    found = read_logs(logs)
    if output is Format.JSON:
        show_document(found.to_dict())
    elif output is Format.MARKDOWN:
        from imagefactory.reports.run_markdown import run_markdown

        show_markdown(run_markdown(found))
    else:
        show(*_text(found))
    if notify:
        _notify(found)
    raise typer.Exit(int(found.failed))


def _notify(found: RunSummary) -> None:
    """Tell the channel of the stack; what prevents it is a warning."""
    from imagefactory.reports.notification import is_news, notification
    from imagefactory.telemetry.webhook import post

    if not is_news(found):
        return
    try:
        settings = stack_settings(found.stack).notify
    except ConfigurationError as problem:
        to_stderr(f"warning: notify: no message is sent, because the settings cannot be read. {problem}")
        return
    if url := os.environ.get(settings.url):
        if lost := post(url, notification(found, settings.format, of_pipeline(os.environ).pipeline_run)):
            to_stderr(f"warning: {lost}")
    else:
        to_stderr(f"notify: the variable {settings.url} is not set; no message is sent.")


def _text(found: RunSummary) -> list[Part]:
    from imagefactory.reports.run_summary import safe

    shown: list[Part] = []
    for part in found.parts:
        title, rows = f"{part.title}: {part.counts}", [(one.outcome, one.name, safe(one.why)) for one in part.told]
        shown.append(Table(title, ("Outcome", "Image", "Why"), rows) if rows else Lines([title]))
        shown.append(Lines([safe(text) for text in part.errors], style="red"))
    return [*shown, Lines([safe(text) for text in found.errors], style="red"), Lines(found.lines(), style="bold")]
