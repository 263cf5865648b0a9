"""A canceled step of a pipeline: pulumi stops cleanly and leaves no lock, whatever the agent does to the step."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from threading import Thread

import pytest

from tests.e2e.pipeline_steps import locks, run_step, start_step
from tests.e2e.waiting import wait_until
from tests.e2e.world import MIB, World
from tests.factory_lab.factory_world import FactoryWorld

pytestmark = pytest.mark.engine

UP, AFTER_CANCEL = "exec pipelines/run.sh up", "exec pipelines/run.sh after-cancel"


def copying(world: World) -> tuple[str, subprocess.Popen[str]]:
    """Start `pulumi up` in a step, and return the name of the image while it copies."""
    world.add_lab("web", "Win2016")
    (name,) = world.add_images(("Win2016/Datacenter.json", 5), size=64 * MIB, allocated=20 * MIB)
    world.cloud.set_latencies({"pageSeconds": 300})
    process = start_step(world, UP)
    wait_until(lambda: world.copies() >= 1)
    assert len(locks(world)) == 1
    return name, process


def test_a_canceled_step_passes_the_signal_on_and_leaves_no_lock(world: World) -> None:
    """GitHub sends SIGINT and SIGTERM to the process of the step, and to no other. The second `pulumi up` of the step
    does not start; the next run resumes the copy."""
    name, process = copying(world)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and output.count("Updating (") == 1, output
    assert locks(world) == [] and list((world.folder / "temp").glob("*.pids")) == []
    world.cloud.set_latencies({})
    code, output = run_step(world, UP)
    assert code == 0 and world.held(world.labs["web"]) == {name: "Succeeded"}, output
    assert world.copies() == 1


def pid_of_pulumi(world: World) -> int:
    """Return the process that the script runs."""
    return int((world.folder / "temp" / "imagefactory-test.pids").read_text("utf-8").split()[1])


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_step_that_the_agent_kills_is_waited_for_by_a_later_step(world: World, interrupted: bool) -> None:
    """GitHub kills it 10 s after its signal; Azure Pipelines signals only the task around it, and closes its output."""
    _, process = copying(world)
    assert process.stdout
    process.stdout.close()
    if interrupted:
        process.send_signal(signal.SIGINT)
        wait_until(lambda: process.poll() is not None or ignores(process.pid, signal.SIGINT))
        process.kill()  # unless it ended meanwhile
    Thread(target=process.wait, daemon=True).start()  # as an agent, and init, look after the processes that end
    _, output = run_step(world, AFTER_CANCEL)
    assert interrupted or "Waiting for the canceled step of stack test to end." in output
    assert "locked" not in output and locks(world) == [], output
    assert process.wait(10) in ({-signal.SIGKILL, 130} if interrupted else {130})


def test_a_lock_that_a_killed_run_left_is_named_with_the_command_that_releases_it(world: World) -> None:
    """As after the loss of an agent."""
    _, process = copying(world)
    os.kill(pid_of_pulumi(world), signal.SIGKILL)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    code, output = run_step(world, AFTER_CANCEL)
    assert code == 1 and "pulumi cancel --stack test" in output, output
    assert len(locks(world)) == 1


def test_a_canceled_save_revokes_its_access_to_disks(factory: FactoryWorld) -> None:
    """The agent of Azure Pipelines signals only the task around the script; a later step passes the signal on."""
    factory.add_vm("golden", sizeBytes=48 * MIB, allocatedBytes=24 * MIB)
    factory.cloud.set_latencies({"pageSeconds": 300})
    process = start_step(factory, "exec pipelines/run.sh save")
    wait_until(lambda: bool(factory.open_disks()))
    Thread(target=process.wait, daemon=True).start()
    code, output = run_step(factory, "exec pipelines/run.sh wait")
    assert code == 0, output
    assert factory.open_disks() == [] and process.wait(10) == 130
    assert set(factory.machines()) == {"golden"}, "clean-vms did not run"


def status(process: int) -> str:
    return Path(f"/proc/{process}/status").read_text("utf-8")


def ignores(process: int, number: signal.Signals) -> bool:
    """Whether the process ignores the signal by now, as the script does after the first one."""
    (mask,) = (line.split()[1] for line in status(process).splitlines() if line.startswith("SigIgn"))
    return bool(int(mask, 16) >> (number - 1) & 1)
