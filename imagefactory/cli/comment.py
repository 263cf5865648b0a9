"""`imagefactory comment`: the plan of a stack as a comment on the pull request of the running job.

Parses the options and reads the files. Does not make the plan: `imagefactory plan` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imagefactory.cli.stack import Stack
from imagefactory.cli.terminal.output import say
from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError


def comment(
    stack: Stack,
    file: Annotated[Path, typer.Option("--file", metavar="FILE", help="Markdown of imagefactory plan; may be empty")],
    errors: Annotated[
        Path | None, typer.Option("--errors", metavar="FILE", help="Text to add as errors, line by line; may be empty")
    ] = None,
) -> None:
    """Write the plan of a stack as a comment on the pull request, or update it.

    Runs in a job of a pull request: in GitHub Actions with GITHUB_TOKEN (permission pull-requests: write), in Azure
    Pipelines with SYSTEM_ACCESSTOKEN (permission Contribute to pull requests). Each stack has its own comment. Comments
    of others are never changed. For a pull request from a fork, whose job may not write, nothing is written.

    Exit codes: 0 the comment is written, or the pull request is from a fork, 1 it cannot be written, 2 wrong usage.
    """
    from imagefactory.comments.body import body, marker
    from imagefactory.comments.job import job

    plan, problems = _text(file), _text(errors) if errors else ""
    running = job()
    if running.fork:
        say("The pull request is from a fork, so its job may not write a comment: see the plan in the run.")
        return
    text = body(stack, plan, problems, running.commit, running.run)
    say(f"Stack {stack}: {running.pull_request.write(marker(stack), text)}.")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", errors="backslashreplace")
    except OSError as problem:
        fact, remedy = f"cannot be read ({problem.strerror})", "Pass the output of imagefactory plan --format markdown"
        raise ImageFactoryError(error(str(file), fact, "the comment is not written", remedy).text()) from None
