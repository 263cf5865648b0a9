"""How often the user sees something of a copy, and who counts as watching."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.copying.copier import Progress
from imagefactory.copying.totals import MIB
from providers.vhdcopy.progress import LIVE_SECONDS, EngineLog, Row
from toolchain.checkout import Checkout

steps = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 40)), max_size=60)
"""Seconds and MiB that lie between one progress of a copy and the next."""


class Shown(EngineLog):
    """Stands where the engine's log stands, and keeps the rows."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def show(self, urn: str, message: str) -> None:
        self.rows.append((urn, message))


def shown(steps: list[tuple[float, int]], *, live: bool, total: int = 500) -> list[tuple[float, int, str | None]]:
    """What a row shows (None: nothing) at each progress of a copy of `total` MiB, with its second and its MiB."""
    log, now, done = Shown(), 0.0, 0
    told: list[tuple[float, int, str | None]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("providers.vhdcopy.progress.monotonic", lambda: now)
        row = Row(log, "urn:x", live=live)
        for seconds, mebibytes in steps:
            now, done = now + seconds, min(done + mebibytes, total)
            log.rows.clear()
            row(Progress(done * MIB, total * MIB))
            assert [urn for urn, _ in log.rows] in ([], ["urn:x"])
            told.append((now, done, log.rows[0][1] if log.rows else None))
    return told


@given(steps)
def test_on_a_terminal_a_row_is_updated_at_most_once_per_live_seconds(steps: list[tuple[float, int]]) -> None:
    """And at the first progress that comes as late as that, with the share that is copied by then."""
    before = 0.0
    for now, done, message in shown(steps, live=True):
        assert (message is not None) is (now - before >= LIVE_SECONDS)
        if message is not None:
            assert message.startswith(f"{done / 5:.0f} % {done}/500 MiB")
            before = now


@given(steps)
def test_elsewhere_a_row_is_one_line_per_ten_percent(steps: list[tuple[float, int]]) -> None:
    """Each tenth that a progress reaches is told once, when it is reached, however long the copy takes."""
    reached = 0
    for _, done, message in shown(steps, live=False):
        assert (message is not None) is (done // 50 > reached)
        if message is not None:
            assert message.startswith(f"{done / 5:.0f} % ")
        reached = done // 50


def test_a_whole_copy_is_ten_lines_in_a_log() -> None:
    """From the first tenth to the last, whatever the number of looks."""
    lines = [message for _, _, message in shown([(1.0, 1)] * 500, live=False) if message]
    assert [line.partition(" %")[0] for line in lines] == [str(percent) for percent in range(10, 101, 10)]


def test_an_empty_copy_shows_no_row() -> None:
    """Nothing of nothing is no tenth."""
    assert shown([(0.1, 0)], live=False, total=0) == [(0.1, 0, None)]


def test_what_is_said_instead_of_a_copy_is_shown_at_once() -> None:
    """Words do not wait for their turn."""
    log = Shown()
    Row(log, "urn:x", live=True).say("waits for Azure")
    assert log.rows == [("urn:x", "waits for Azure")]


def test_nobody_watches_a_pipeline_also_where_it_has_a_terminal() -> None:
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
        told = subprocess.run(
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
    assert json.loads(told.stdout) == [False, True, False, False]
