"""The events of copies: which there are, what they contain, how often they come, and how they are written."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.copying.copier import Copied, CopyError, CopyRequest, How, Progress, RelayLost, Report, Warn
from imagefactory.copying.watched import PROGRESS_SECONDS, WatchedCopier
from imagefactory.errors import ConfigurationError
from imagefactory.observed.blobs import BlobRef
from imagefactory.telemetry.copy_events import CopyEvent, Place
from imagefactory.telemetry.event_log import EventLog

NOON = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)
ACCOUNT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/"
REQUEST = CopyRequest(
    BlobRef(f"{ACCOUNT}factory", "https://factory.example/imagefactoryvhds/a.vhd?sv=1&sig=topsecret"),
    1024,
    NOON,
    BlobRef(f"{ACCOUNT}webstorage", "http://127.0.0.1:10000/webstorage/imagefactory-staging/b.vhd"),
)


@dataclass
class Scripted:
    """A copier that reports the given steps, each after its seconds on the clock, and returns or raises `end`."""

    advance: Callable[[float], None]
    steps: list[tuple[float, Progress]]
    end: How | BaseException
    shown: list[Progress] = field(default_factory=list)

    async def copy(
        self, request: CopyRequest, via: BlobRef | None, users: AbstractSet[str], report: Report, warn: Warn
    ) -> Copied:
        """Report, then end."""
        for seconds, progress in self.steps:
            self.advance(seconds)
            report(progress)
        if isinstance(self.end, BaseException):
            raise self.end
        return Copied("id", "digest", self.end)


def events_of(
    steps: list[tuple[float, Progress]], end: How | BaseException = "copied", request: CopyRequest = REQUEST
) -> list[CopyEvent]:
    """The events of a copy that goes like this; what it reports reaches its own row too."""
    now = [0.0]
    told: list[CopyEvent] = []
    shown: list[Progress] = []

    def advance(seconds: float) -> None:
        now[0] += seconds

    async def run() -> None:
        copier = WatchedCopier(Scripted(advance, steps, end), [told.append])
        try:
            await copier.copy(request, None, set(), shown.append, print)
        except BaseException as problem:
            assert problem is end

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imagefactory.copying.watched.monotonic", lambda: now[0])
        asyncio.run(run())
    assert shown == [progress for _, progress in steps]
    return told


@given(st.lists(st.tuples(st.floats(0, 15), st.integers(0, 9)), max_size=60))
def test_a_copy_starts_ends_and_reports_its_progress_at_most_every_ten_seconds(steps: list[tuple[float, int]]) -> None:
    """For any times and numbers of progress; each event has what the copy reported last."""
    events = events_of([(seconds, Progress(done, 9)) for seconds, done in steps])
    assert [each.event for each in events] == ["copy.start", *["copy.progress"] * (len(events) - 2), "copy.end"]
    times = [each.seconds for each in events[:-1]]
    assert all(later - earlier >= PROGRESS_SECONDS for earlier, later in pairwise(times))
    assert (events[-1].done, events[-1].outcome) == (steps[-1][1] if steps else 0, "copied")


@pytest.mark.parametrize("how", ["copied", "resumed", "already there"])
def test_a_copy_that_succeeds_says_how(how: How) -> None:
    """As its copier does."""
    assert [each.outcome for each in events_of([], how)] == [None, how]


@pytest.mark.parametrize(
    ("end", "outcome", "message"),
    [
        (CopyError("x: failed at https://a.example/x?sig=topsecret; no image. Run again"), "failed", "x: failed at"),
        (RelayLost("relay: no longer exists"), "relay lost", "relay: no longer exists"),
        (ValueError("odd"), "failed", "odd"),
        (asyncio.CancelledError(), "canceled", ""),
    ],
)
def test_a_copy_that_ends_otherwise_says_why_without_a_secret(end: BaseException, outcome: str, message: str) -> None:
    """And how far it came, with what was sent again."""
    event = events_of([(5, Progress(700, 900, 100, retried=3, refused=2))], end)[-1]
    assert (event.outcome, event.done, event.kept, event.total) == (outcome, 700, 100, 900)
    assert (event.retried, event.refused, event.seconds) == (3, 2, 5)
    assert event.message.startswith(message) and "topsecret" not in event.message


def test_what_a_copy_waits_for_is_no_progress() -> None:
    """Its numbers are those from before."""
    events = events_of([(1, Progress(5, 9)), (10, Progress(0, 9, note="waits")), (1, Progress(0, 9, note="waits"))])
    assert [each.done for each in events] == [0, 5, 5]


def test_an_event_names_source_and_destination_without_a_query() -> None:
    """A disk has no file name, and its URL is a secret: it is named by its id."""
    place = events_of([])[0].place
    assert place == Place("a.vhd", "webstorage", "imagefactory-staging", "b.vhd", 1024)
    disk = events_of([], request=replace(REQUEST, source_id="disk:1234"))
    assert disk[0].place.source == "disk:1234"
    assert "topsecret" not in json.dumps([each.to_dict() for each in disk])


def test_events_are_appended_as_lines_that_no_build_agent_takes_for_a_command(tmp_path: Path) -> None:
    """Each is one line and a JSON object, whatever the names in it; earlier lines are kept."""
    file = tmp_path / "events.jsonl"
    file.write_text('{"event": "of another run"}\n', "utf-8")
    warnings: list[str] = []
    log = EventLog(str(file), warnings.append)
    place = Place("##vso[task.complete]\n::x.vhd", "a", "c", "b\u2028.vhd", 1)
    log(CopyEvent("copy.start", NOON, place))
    log(CopyEvent("copy.end", NOON, place, outcome="failed", message="why"))
    log.close()
    log(CopyEvent("copy.start", NOON, place))
    first, *lines = file.read_text("utf-8").splitlines()
    assert first == '{"event": "of another run"}' and len(lines) == 2 and warnings == []
    assert [json.loads(line)["source"] for line in lines] == [place.source] * 2
    assert not re.search(r"##|^\s*::", "\n".join(lines), re.MULTILINE)


def test_a_file_that_cannot_be_opened_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """The path is not repeated, only the name."""
    with pytest.raises(
        ConfigurationError, match=r"^error: events file x: cannot be written \(.*\); .* IMAGEFACTORY_EV"
    ):
        EventLog(str(tmp_path / "missing" / "x"), print)


def test_a_file_that_becomes_full_is_one_warning_and_the_copies_go_on() -> None:
    """`/dev/full` is a disk without space."""
    warnings: list[str] = []
    log = EventLog("/dev/full", warnings.append)
    for _ in range(3):
        log(CopyEvent("copy.start", NOON, Place("a", "b", "c", "d", 1)))
    (warning,) = warnings
    assert "events of copies are not recorded" in warning
