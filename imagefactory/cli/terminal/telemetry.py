"""The telemetry of a subcommand: a trace of its phases, and what receives the events of its copies.

Problems of telemetry are warnings on standard error. Does not change the exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imagefactory.cli.terminal.output import show_line, to_stderr
from imagefactory.telemetry.copy_events import CopyObserver
from imagefactory.telemetry.event_log import EventLog
from imagefactory.telemetry.phases import PHASES
from imagefactory.telemetry.traces import NONE, Telemetry, reason, telemetry

_started: list[Telemetry] = [NONE]


@contextmanager
def traced(command: str) -> Iterator[None]:
    """Send a span of the command with its phases, if there is a collector. Waits for it briefly at the end."""
    traces, warning = telemetry(command)
    if warning:
        to_stderr(f"warning: {warning}")
    PHASES.spans, problem = traces.span, ""
    _started.append(traces)
    try:
        with traces.entered():
            yield
    except BaseException as error:
        problem = _problem(error)
        raise
    finally:
        _started.pop()
        if lost := traces.close(problem):
            to_stderr(f"warning: {lost}")


@contextmanager
def copy_observers(events: str | None, say: Callable[[str], None]) -> Iterator[tuple[CopyObserver, ...]]:
    """Return what receives the events of copies; `-` is standard output.

    Raises `ConfigurationError` if the file cannot be written.
    """
    if not events:
        yield (_started[-1].copied,)
        return
    if events == "-":
        yield _started[-1].copied, lambda event: show_line(event.to_dict())
        return
    log = EventLog(events, lambda message: say(f"warning: {message}"))
    try:
        yield _started[-1].copied, log
    finally:
        log.close()


def _problem(error: BaseException) -> str:
    """Return why a command failed; empty if it exits with 0."""
    if isinstance(error, SystemExit):
        return f"exit code {error.code}" if error.code else ""
    return reason(error)
