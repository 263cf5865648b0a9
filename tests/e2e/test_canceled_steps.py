"""A canceled step of a pipeline: pulumi ends in good order and leaves no lock, whatever the agent does to the step."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from threading import Thread

import pytest

from tests.e2e.pipeline_steps import locks, run_step, start_step
from tests.e2e.test_interrupted import wait_until
from tests.e2e.world import MIB, World

pytestmark = pytest.mark.engine

UP, AFTER_CANCEL = "exec pipelines/run.sh up", "exec pipelines/run.sh after-cancel"


def copying(world: World) -> tuple[str, subprocess.Popen[str]]:
    """Start `pulumi up` in a step, and return the name of the image while it copies."""
    world.add_lab("web", "Win2016")
    (name,) = world.add_images(("Win2016/Datacenter.json", 5), size=64 * MIB, allocated=20 * MIB)
    world.cloud.set_latencies({"pageSeconds": 30})
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


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_step_that_the_agent_kills_is_waited_for_by_a_later_step(world: World, interrupted: bool) -> None:
    """GitHub kills it 10 s after its signal; Azure Pipelines signals only the task around it, and closes its output."""
    _, process = copying(world)
    assert process.stdout
    process.stdout.close()
    if interrupted:
        process.send_signal(signal.SIGINT)
        wait_until(lambda: ignores(process.pid, signal.SIGINT))
        process.kill()
    Thread(target=process.wait, daemon=True).start()  # as an agent, and init, look after the processes that end
    code, output = run_step(world, AFTER_CANCEL)
    assert "Waiting for the canceled step of stack test to end." in output and "locked" not in output, output
    assert locks(world) == [] and process.wait(10) == (-signal.SIGKILL if interrupted else 130), code


def test_a_lock_that_a_killed_run_left_is_named_with_the_command_that_releases_it(world: World) -> None:
    """As after the loss of an agent."""
    _, process = copying(world)
    _, pulumi = (world.folder / "temp" / "imagefactory-test.pids").read_text("utf-8").split()
    os.kill(int(pulumi), signal.SIGKILL)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    code, output = run_step(world, AFTER_CANCEL)
    assert code == 1 and "pulumi cancel --stack test" in output, output
    assert len(locks(world)) == 1


def status(process: int) -> str:
    return Path(f"/proc/{process}/status").read_text("utf-8")


def ignores(process: int, number: signal.Signals) -> bool:
    """Whether the process ignores the signal by now, as the script does after the first one."""
    (mask,) = (line.split()[1] for line in status(process).splitlines() if line.startswith("SigIgn"))
    return bool(int(mask, 16) >> (number - 1) & 1)
