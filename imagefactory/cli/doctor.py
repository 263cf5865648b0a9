"""`imagefactory doctor`: what would make `pulumi up` fail, as a table. `imagefactory.doctor` finds it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from imagefactory.cli.stack import AsJson, Stack, project_name, stack_settings
from imagefactory.cli.terminal.interruption import run
from imagefactory.cli.terminal.output import count
from imagefactory.cli.terminal.report import Lines, Report, Table, finish

if TYPE_CHECKING:
    from imagefactory.doctor.checks import Check


def doctor(
    stack: Stack,
    write_probe: Annotated[
        bool,
        typer.Option(
            "--write-probe", help="Also write a page blob of 512 bytes to each storage account, and delete it"
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show each check that is ok")] = False,
    as_json: AsJson = False,
) -> None:
    """Check all that `pulumi up` needs, before it copies anything.

    Checks the tools, the sign-in, the clock, the state and its lock, labs.json, each subscription, lab and storage
    account, network rules, shared keys and copy scope, the permissions that are missing or denied, whether blobs can be
    read and written, and images that exist and are not in the state. Each check is independent, and the whole takes
    less than a minute. The worst results come first; a failure has its remedy. Checks that are ok are counted, unless
    --verbose shows them.

    Writes nothing without --write-probe.

    Exit codes: 0 nothing would fail, 1 something would fail, 2 wrong usage or configuration.
    """
    settings = stack_settings(stack)
    project = project_name()
    from imagefactory.doctor.examination import Request, examine
    from imagefactory.state.edits import StackName

    request = Request(StackName(project, stack), settings, write_probe)
    finish(
        run(examine(request), "deleting what was written" if write_probe else ""),
        lambda checks: _report(str(request.stack), checks, verbose=verbose),
        as_json=as_json,
        interrupted="Interrupted; nothing is changed.",
    )


def _report(stack: str, checks: Sequence[Check], *, verbose: bool) -> Report:
    from imagefactory.doctor.checks import ORDER, would_fail

    numbers = Counter(check.result for check in checks)
    document = {
        "stack": stack,
        "wouldFail": would_fail(checks),
        "checks": [check.to_dict() for check in checks],
    }
    counted = {"failure": count(numbers["failure"], "failure"), "warning": count(numbers["warning"], "warning")}
    total = ", ".join(counted.get(result, f"{numbers[result]} {result}") for result in ORDER if numbers[result])
    table = Table("", ("Subject", "Check", "Result", "Remedy"), _rows(checks, verbose=verbose))
    return Report(document, [table, Lines([f"{count(len(checks), 'check')}: {total}."])], would_fail(checks))


def _rows(checks: Sequence[Check], *, verbose: bool) -> list[tuple[str, str, str, str]]:
    from imagefactory.doctor.checks import summarized

    shown = ((check, 1) for check in checks) if verbose else summarized(checks)
    rows: list[tuple[str, str, str, str]] = []
    before = ""
    for check, number in shown:
        subject, before = "" if check.subject == before else check.subject, check.subject
        if check.result == "ok" and not verbose:
            rows.append((subject, count(number, "check"), "ok", ""))
        else:
            told = check.to_dict()
            rows.append((subject, check.name, check.text(), told["remedy"] or ""))
    return rows
