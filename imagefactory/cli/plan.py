"""`imagefactory plan`: what the next run would do to each lab, for people who review it.

Parses the options and renders tables. Does not decide: `imagefactory.state.review` does.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from imagefactory.cli.stack import Stack, project_name, stack_settings
from imagefactory.cli.terminal.interruption import run
from imagefactory.cli.terminal.output import show_document, show_markdown
from imagefactory.cli.terminal.report import Lines, Part, Table, completed, show
from imagefactory.errors import ConfigurationError, ImageFactoryError

if TYPE_CHECKING:
    from imagefactory.configuration.stack_settings import Settings
    from imagefactory.reports.plan_report import Change, PlanReport


class Format(str, Enum):
    """Formats of the plan."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def plan(
    stack: Stack,
    output: Annotated[Format, typer.Option("--format", help="Format of the plan")] = Format.TEXT,
    no_cloud: Annotated[
        bool, typer.Option("--no-cloud", help="Show only what the files say, without network access and credentials")
    ] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 if a run would change anything, 1 on errors")
    ] = False,
) -> None:
    """List what `pulumi up` would do to the images of each lab, and why.

    For each lab and image: what leaves, is created again, appears, is kept for now, is left out or stays, with the
    entry of labs.json and the rule that says so; the same for the Compute Gallery. Then how much is copied, how much of
    it to other regions, and a rough duration and cost. It agrees with `pulumi preview`. The format markdown fits a
    comment of a pull request: up to 60,000 characters, above that a summary of each lab.

    Reads Azure and the state, and writes nothing. With --detailed-exitcode, an invalid configuration is 1.

    Exit codes: 0 the plan is shown, 1 it cannot be made or a run of it would fail, 2 wrong usage or configuration.
    """
    try:
        report = _report(stack, stack_settings(stack), no_cloud=no_cloud)
    except ConfigurationError as problem:
        if detailed_exitcode:
            raise ImageFactoryError(str(problem)) from None
        raise
    if output is Format.JSON:
        show_document(report.to_dict())
    elif output is Format.MARKDOWN:
        from imagefactory.reports.plan_markdown import plan_markdown

        show_markdown(plan_markdown(report))
    else:
        show(*_text(report))
    raise typer.Exit(1 if report.failures else 2 if detailed_exitcode and report.has_changes else 0)


def _report(stack: str, settings: Settings, *, no_cloud: bool) -> PlanReport:
    from imagefactory.state import review
    from imagefactory.state.edits import StackName

    name = StackName(project_name(), stack)
    if no_cloud:
        return review.declared(name, settings)
    return completed(run(review.review(name, settings)), "Interrupted; nothing is changed.")


def _text(report: PlanReport) -> list[Part]:
    from imagefactory.reports.plan_report import counts

    parts: list[Part] = []
    for lab in report.labs:
        place = f" ({lab.location})" if lab.location else ""
        parts.append(_table(f"Lab {lab.label}{place}: {counts(lab.changes) or 'nothing'}", lab.changes))
    if report.gallery:
        parts.append(_table(f"Compute Gallery: {counts(report.gallery)}", report.gallery))
    left_out = [f"Left out: {one.name or one.image_path}: {one.why}" for one in report.left_out]
    problems = [each.text() for each in (*report.warnings, *report.failures)]
    total = [f"Total: {counts(report.changes) or 'nothing'}.", *(report.totals.lines() if report.totals else ())]
    return [*parts, Lines(left_out), Lines(problems, style="yellow"), Lines(total, style="bold")]


def _table(title: str, changes: tuple[Change, ...]) -> Table:
    rows = [(one.action, one.name, one.image_path, one.state or "", one.why) for one in changes]
    leaving = [number for number, one in enumerate(changes) if one.action == "delete"]
    return Table(title, ("Action", "Image", "Image path", "State", "Why"), rows, bold=leaving)
