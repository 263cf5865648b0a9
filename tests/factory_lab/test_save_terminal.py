"""`imagefactory save` at a terminal: a bar per VM while it is copied, a table at the end."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading

from tests.e2e.world import MIB, STACK
from tests.factory_lab.factory_world import FactoryWorld


def at_a_terminal(world: FactoryWorld, *arguments: str, ctrl_c_at: str = "") -> tuple[int, str]:
    """Exit code and everything that was shown; Ctrl-C is pressed once `ctrl_c_at` has been."""
    world.write_configuration()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from imagefactory.cli.main import main; main()", *arguments, "-s", STACK],
        cwd=world.folder,
        env={**world.variables(), "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen: list[bytes] = []

    def read() -> None:
        pressed = not ctrl_c_at
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the other end is closed
                return
            seen.append(chunk)
            if not pressed and ctrl_c_at.encode() in b"".join(seen):
                process.send_signal(signal.SIGINT)
                pressed = True

    reader = threading.Thread(target=read)
    reader.start()
    code = process.wait(timeout=60)
    reader.join(timeout=10)
    os.close(ours)
    return code, b"".join(seen).decode(errors="replace")


def test_a_terminal_shows_a_bar_per_vm_and_then_the_table(world: FactoryWorld) -> None:
    """Redrawn in place; the lines of a log are not there."""
    world.add_vm("golden", sizeBytes=64 * MIB, allocatedBytes=24 * MIB)
    world.cloud.set_limits({"blobBytesPerSecond": 16 * MIB, "queueSeconds": 60})
    code, shown = at_a_terminal(world, "save")
    assert code == 0, shown
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "━" in told and re.search(r"golden.*\d+ % \d+/\d+ MiB", told)
    assert "\x1b[2K" in shown, "rows are drawn anew in place"
    assert "golden: saved as Win2016_Datacenter" in told and "VMs of the factory lab" in told


def test_ctrl_c_at_a_terminal_says_what_happens_and_leaves_the_terminal_as_it_was(world: FactoryWorld) -> None:
    """The cursor is shown again, the disk is closed."""
    world.add_vm("golden", sizeBytes=64 * MIB, allocatedBytes=24 * MIB)
    world.cloud.set_limits({"blobBytesPerSecond": 4 * MIB, "queueSeconds": 60})
    code, shown = at_a_terminal(world, "save", ctrl_c_at="MiB")
    assert code == 130, shown
    assert "Stopping: revoking disk access" in shown and "run the same command again" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert world.open_disks() == []
