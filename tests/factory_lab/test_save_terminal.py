"""`imagefactory save` at a terminal: a bar per VM during the copy, a table at the end."""

from __future__ import annotations

import re

from tests.e2e.world import MIB
from tests.factory_lab.factory_world import FactoryWorld
from tests.factory_lab.terminal import Terminal


def save_at_a_terminal(world: FactoryWorld, bytes_per_second: int) -> Terminal:
    """A save of one VM at a terminal, as slow as `bytes_per_second`."""
    world.add_vm("golden", sizeBytes=64 * MIB, allocatedBytes=24 * MIB)
    world.cloud.set_limits({"blobBytesPerSecond": bytes_per_second, "queueSeconds": 60})
    world.write_configuration()
    return Terminal(world.words("save"), world.folder, world.variables())


def test_a_terminal_shows_a_bar_per_vm_and_then_the_table(world: FactoryWorld) -> None:
    """The bar is redrawn in place, and log lines are not printed."""
    terminal = save_at_a_terminal(world, 16 * MIB)
    assert terminal.end() == 0, terminal.shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.shown)
    assert "━" in text and re.search(r"golden.*\d+ % \d+/\d+ MiB", text)
    assert "\x1b[2K" in terminal.shown, "rows are redrawn in place"
    assert "golden: saved as Win2016_Datacenter" in text and "VMs of the factory lab" in text


def test_ctrl_c_at_a_terminal_says_what_happens_and_restores_the_terminal(world: FactoryWorld) -> None:
    """The cursor is shown again, and the access to the disk is revoked."""
    terminal = save_at_a_terminal(world, 4 * MIB)
    terminal.read_until("MiB")
    terminal.press_ctrl_c()
    assert terminal.end() == 130, terminal.shown
    shown = terminal.shown
    assert "Stopping: revoking disk access" in shown and "run the same command again" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert world.open_disks() == []
