"""How often the progress of a copy is shown, in which units, and when a row is live."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.cli.terminal.progress import copy_progress
from imagefactory.copying.copier import LONGEST_WAIT, SHORTEST_WAIT, Progress, poll_delay
from imagefactory.copying.totals import GIB, KIB, MIB, Totals, describe, size
from providers.vhdcopy.progress import FIRST_LINE_SECONDS, LIVE_SECONDS, EngineLog, Row
from toolchain.checkout import Checkout

steps = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 40)), max_size=60)
"""Seconds and MiB between one progress of a copy and the next."""


class Shown(EngineLog):
    """Replaces the engine's log, and keeps the rows."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def show(self, urn: str, message: str) -> None:
        self.rows.append((urn, message))


def shown(steps: list[tuple[float, int]], *, live: bool, total: int = 500) -> list[tuple[float, int, str | None]]:
    """Return what a row shows (None: nothing) at each progress of a copy of `total` MiB, with seconds and MiB."""
    log, now, done = Shown(), 0.0, 0
    reported: list[tuple[float, int, str | None]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("providers.vhdcopy.progress.monotonic", lambda: now)
        row = Row(log, "urn:x", live=live)
        for seconds, mebibytes in steps:
            now, done = now + seconds, min(done + mebibytes, total)
            log.rows.clear()
            row(Progress(done * MIB, total * MIB))
            assert [urn for urn, _ in log.rows] in ([], ["urn:x"])
            reported.append((now, done, log.rows[0][1] if log.rows else None))
    return reported


@given(steps)
def test_on_a_terminal_a_row_is_updated_at_most_once_per_live_seconds(steps: list[tuple[float, int]]) -> None:
    """The update comes with the first progress after that time, and shows the current share."""
    before = 0.0
    for now, done, message in shown(steps, live=True):
        assert (message is not None) is (now - before >= LIVE_SECONDS)
        if message is not None:
            assert message.startswith(f"{done / 5:.0f} % {done}/500 MiB")
            before = now


@given(steps)
def test_elsewhere_a_row_is_one_line_per_ten_percent(steps: list[tuple[float, int]]) -> None:
    """Each tenth that a progress reaches is shown once; none in the first seconds, so a short copy shows nothing."""
    reached = 0
    for now, done, message in shown(steps, live=False):
        assert (message is not None) is (now >= FIRST_LINE_SECONDS and done // 50 > reached)
        if message is not None:
            assert message.startswith(f"{done / 5:.0f} % ")
            reached = done // 50


@pytest.mark.parametrize("live", [True, False])
def test_what_a_copy_waits_for_is_shown_once_in_place_of_its_progress(live: bool) -> None:
    """On a terminal and in a log; the progress follows."""
    log = Shown()
    row = Row(log, "urn:x", live=live)
    for note in ("waiting", "waiting", ""):
        row(Progress(0, 500 * MIB, note=note))
    assert log.rows == [("urn:x", "waiting")]


def test_a_whole_copy_is_ten_lines_in_a_log() -> None:
    """From the first tenth to the last, for any number of polls."""
    lines = [message for _, _, message in shown([(1.0, 1)] * 500, live=False) if message]
    assert [line.partition(" %")[0] for line in lines] == [str(percent) for percent in range(10, 101, 10)]


def test_an_empty_copy_shows_no_row() -> None:
    """Without bytes to copy, no tenth is reached."""
    assert shown([(0.1, 0)], live=False, total=0) == [(0.1, 0, None)]


@given(st.integers(0, 2**42), st.integers(0, 2**42), st.floats(0, 1e6))
def test_any_progress_is_one_row_with_a_total_that_is_not_zero(done: int, total: int, elapsed: float) -> None:
    """The unit suits the total: a copy of something never reads `0/0 MiB`."""
    row = describe(Progress(min(done, total), total), elapsed)
    assert "\n" not in row and " % " in row and (total == 0 or "/0 " not in row)


@pytest.mark.parametrize(
    ("done", "total", "row"),
    [
        (0, 512, "0 % 0/512 B"),
        (350 * KIB, 700 * KIB, "50 % 350/700 KiB 175 KiB/s 0:02 left"),
        (3 * MIB, 7 * MIB, "43 % 3/7 MiB 2 MiB/s 0:03 left"),
        (3 * GIB, 15 * GIB, "20 % 3.0/15.0 GiB 1.5 GiB/s 0:08 left"),
    ],
)
def test_a_copy_is_shown_in_the_unit_of_its_total(done: int, total: int, row: str) -> None:
    """After two seconds; a rate has its own unit."""
    assert describe(Progress(done, total), 2.0) == row


def test_the_totals_of_small_disks_are_not_zero_mebibytes() -> None:
    """Each sum has its own unit."""
    totals = Totals(copies=1, moved=300 * KIB, kept=512, empty=64 * MIB)
    reported = totals.text()
    assert reported == "1 VHD copied in 0:00: 300 KiB moved, 512 B kept, 64 MiB skipped as empty, 0 ranges retried"


def test_save_shows_a_small_disk_in_kib(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The lines of `save` in a log have the same form as the rows of the plugin."""
    monkeypatch.setenv("CI", "true")
    with copy_progress() as progress:
        progress.show("vm", Progress(350 * KIB, 700 * KIB))
    assert "vm: 50 % 350/700 KiB" in capsys.readouterr().err


@given(st.integers(0, 2**50))
def test_a_size_is_never_zero_unless_it_is_nothing(number: int) -> None:
    """Whatever the number of bytes."""
    assert size(number).startswith("0 ") is (number == 0)


@given(st.floats(min_value=0, max_value=1e6))
def test_a_finished_copy_is_noticed_within_a_tenth_of_its_time(elapsed: float) -> None:
    """The wait for the next poll is at most 10 % of what the copy has taken so far, within the bounds."""
    delay = poll_delay(elapsed)
    assert SHORTEST_WAIT <= delay <= LONGEST_WAIT
    assert delay <= max(SHORTEST_WAIT, 0.1 * elapsed)


def test_a_message_instead_of_a_copy_is_shown_immediately() -> None:
    """It does not wait until an update is due."""
    log = Shown()
    Row(log, "urn:x", live=True).say("waits for Azure")
    assert log.rows == [("urn:x", "waits for Azure")]


def test_a_row_in_a_pipeline_is_not_live_even_with_a_terminal() -> None:
    """With a controlling terminal a row is live, but not with CI or TF_BUILD set; without a terminal never."""
    code = """if True:
        import fcntl, json, os, sys, termios
        from providers.vhdcopy.progress import is_live
        os.setsid()
        before = is_live({})
        fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
        print(json.dumps([before, *(is_live(each) for each in ({}, {"CI": "true"}, {"TF_BUILD": "True"}))]))
    """
    keeper, terminal = pty.openpty()
    try:
        reported = subprocess.run(
            [sys.executable, "-c", code, str(terminal)],
            cwd=Checkout.here().root,
            pass_fds=[terminal],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        os.close(keeper)
        os.close(terminal)
    assert json.loads(reported.stdout) == [False, True, False, False]
