"""Saves that are interrupted or denied at each step: access is revoked, nothing is lost, the next run resumes."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from imagefactory.observed.factory_blobs import UNFINISHED
from tests.e2e.world import FACTORY_CONTAINER, MIB
from tests.factory_lab.factory_world import FactoryWorld

GRANT = {"service": "arm", "method": "POST", "path": "/begingetaccess"}
REVOKE = {"service": "arm", "method": "POST", "path": "/endgetaccess"}
RECORD = {"service": "blob", "method": "PUT", "path": r"\.save(\?comp=metadata)?$"}
NAME = {"service": "blob", "method": "PUT", "path": r"\.name$"}
CREATE = {"service": "blob", "method": "PUT", "path": r"\.vhd$"}
RANGE = {"service": "blob", "method": "PUT", "path": r"\.vhd\?comp=page"}
MARK = {"service": "blob", "method": "PUT", "path": r"\.vhd\?comp=metadata"}
COMPANION = {"service": "blob", "method": "PUT", "path": r"[0-9a-f]\.json$"}
DISK_SIZE: dict[str, Any] = {"sizeBytes": 32 * MIB, "allocatedBytes": 24 * MIB}

REFUSED = {"status": 403, "code": "AuthorizationPermissionMismatch"}


def is_complete(world: FactoryWorld, vm: str = "golden") -> bool:
    """Return whether the only image equals the VM's disk; fail if the save left something unfinished."""
    ((_, companion),) = world.companions().items()
    content = world.bytes_of(world.factory, FACTORY_CONTAINER, companion["vhdFileName"])
    assert world.leftovers() == [] and world.open_disks() == []
    return content == world.disk_bytes(vm)


@pytest.mark.parametrize(
    "step", [RECORD, NAME, GRANT, CREATE, RANGE, MARK, {**MARK, "nth": 2}, COMPANION], ids=lambda step: str(step)
)
def test_a_denied_step_fails_only_that_vm_and_the_next_run_resumes(world: FactoryWorld, step: dict[str, Any]) -> None:
    """One line gives the reason; access is revoked, and the failed VM has no companion."""
    world.add_vm("golden")
    world.cloud.set_faults([{**step, "times": (step.get("nth") and 1) or None, "action": REFUSED}])
    run = world.save()
    assert run.code == 1 and run.results() == {"golden": "failed"}, run.stdout
    assert "\n" not in run.row("golden")["message"]
    assert world.open_disks() == [] and world.companions() == {}
    world.cloud.clear_faults()
    held = world.record_names() - {""}
    again = world.save()
    assert again.code == 0, again.stdout
    assert not held or held == {again.row("golden")["image"]}, "it keeps its name"
    assert is_complete(world)


def test_a_step_that_fails_once_is_retried(world: FactoryWorld) -> None:
    """A temporary error of a service fails no VM, in each step of a save."""
    world.add_vm("golden")
    steps = [GRANT, CREATE, RANGE, MARK, COMPANION, REVOKE]
    world.cloud.set_faults([{**step, "times": 1, "action": {"status": 503, "code": "ServerBusy"}} for step in steps])
    run = world.save()
    assert run.code == 0, run.stdout
    assert [rule["hits"] for rule in world.cloud.faults()] == [1] * len(steps)
    assert is_complete(world)


@pytest.mark.parametrize(
    ("steps", "action"),
    [
        ([GRANT, REVOKE], {"status": 401, "code": "ExpiredAuthenticationToken"}),
        ([GRANT, REVOKE], {"drop": True}),
        ([GRANT, REVOKE], {"drop": "after"}),
        ([GRANT], {"operationFails": {"code": "InternalError", "message": "x"}}),
        ([REVOKE], {"operationFails": {"code": "InternalError", "message": "x"}}),
    ],
    ids=str,
)
def test_access_is_granted_and_revoked_though_azure_fails_once(
    world: FactoryWorld, steps: list[dict[str, Any]], action: dict[str, Any]
) -> None:
    """A token that expired before either call, a lost connection, an operation that was accepted and failed.

    Only a grant that failed fails its VM.
    """
    world.add_vm("golden")
    world.cloud.set_faults([{**step, "times": 1, "action": action} for step in steps])
    run = world.save()
    failed = GRANT in steps and "operationFails" in action
    assert (run.code, world.open_disks()) == (1 if failed else 0, []), run.stdout
    assert [rule["hits"] for rule in world.cloud.faults()] == [1] * len(steps)
    assert failed or is_complete(world)


def test_a_vm_whose_disk_stays_open_is_saved_and_the_next_run_revokes_access(world: FactoryWorld) -> None:
    """The run fails with the command that revokes it; a run for another VM revokes it too."""
    world.add_vm("golden")
    world.add_vm("other", "Ubuntu/Jammy.json")
    world.cloud.set_faults([{**REVOKE, "action": {"status": 403, "code": "AuthorizationFailed"}}])
    run = world.save("--vm", "golden")
    assert run.code == 1 and run.results() == {"golden": "saved"}
    (failure,) = run.document["failures"]
    assert "stays readable" in failure and f"az disk revoke-access --ids {world.disk_id('golden')}" in failure
    assert len(world.open_disks()) == len(world.companions()) == 1
    world.cloud.clear_faults()
    left = world.save("--vm", "other", "--dry-run").document
    assert len(left["accessLeftOpen"]) == 1 and len(world.open_disks()) == 1
    other = world.save("--vm", "other")
    assert other.code == 0 and len(other.document["accessRevoked"]) == 1, other.stdout
    assert world.open_disks() == world.leftovers() == []
    assert world.save("--vm", "golden").results() == {"golden": "already saved"}


def test_a_copy_and_a_revocation_that_fail_are_both_reported(world: FactoryWorld) -> None:
    """Neither hides the other; the next run resumes the save and closes the disk."""
    world.add_vm("golden")
    world.cloud.set_faults([{**RANGE, "action": REFUSED}, {**REVOKE, "action": REFUSED}])
    run = world.save()
    assert run.code == 1 and run.results() == {"golden": "failed"}
    assert ".vhd: Azure returned 403" in run.row("golden")["message"]
    assert "az disk revoke-access" in run.document["failures"][0] and len(world.open_disks()) == 1
    world.cloud.clear_faults()
    assert world.save().code == 0 and is_complete(world)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_revokes_access_and_the_next_run_copies_only_the_rest(
    world: FactoryWorld, number: signal.Signals
) -> None:
    """Exit code 128 plus the signal's number; the report shows what was interrupted."""
    world.add_vm("golden", **DISK_SIZE)
    world.cloud.set_faults([{**RANGE, "offset": 20 * MIB, "action": {"delaySeconds": 8}}])
    stopped = world.interrupted(lambda: world.called("PUT", UNFINISHED), number)
    assert stopped.code == 128 + number and stopped.results() == {"golden": "interrupted"}
    assert world.open_disks() == [] and world.companions() == {}
    recorded = world.recorded()
    world.cloud.clear_faults()
    world.cloud.clear_calls()
    assert world.save().code == 0
    assert recorded and world.written_offsets() and not recorded & world.written_offsets()
    assert is_complete(world)


MOMENTS: dict[str, Any] = {
    "granted": lambda world: world.called("POST", "/beginGetAccess"),
    "begun": lambda world: any(call["path"].endswith(".vhd") for call in world.cloud.calls()),
    "half-way": lambda world: world.moved() > 8 * MIB,
    "manifest": lambda world: world.called("PUT", ".ranges.json.gz"),
    "revoked": lambda world: world.called("POST", "/endGetAccess"),
    "companion": lambda world: len(world.companions()) == 1,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_kill_the_next_run_revokes_access_resumes_and_finishes(world: FactoryWorld, moment: str) -> None:
    """After a kill at any moment: one image that equals the disk, under the first run's name."""
    world.add_vm("golden", **DISK_SIZE)
    world.cloud.set_latencies({"pageSeconds": 0.1})
    delays = [GRANT, CREATE, MARK, COMPANION, {**NAME, "method": "DELETE"}]
    world.cloud.set_faults([{**step, "action": {"delaySeconds": 0.2}} for step in delays])
    killed = world.interrupted(lambda: bool(MOMENTS[moment](world)), signal.SIGKILL)
    assert killed.code == -signal.SIGKILL
    world.end_leases()
    names = world.record_names() - {""}
    world.cloud.clear_faults()
    world.cloud.set_latencies({})
    again = world.save()
    assert again.code == 0, again.stdout
    assert not names or names == {again.row("golden")["image"]}
    assert is_complete(world)


def test_access_left_active_by_a_killed_run_is_revoked_by_a_run_for_another_vm(world: FactoryWorld) -> None:
    """A save of its own VM then resumes. The killed run's lease expires."""
    world.add_vm("golden", **DISK_SIZE)
    world.add_vm("other", "Ubuntu/Jammy.json")
    world.cloud.set_limits({"blobBytesPerSecond": 6 * MIB, "queueSeconds": 60})
    world.interrupted(lambda: world.called("PUT", UNFINISHED), signal.SIGKILL, "--vm", "golden")
    recorded = world.recorded()
    assert len(world.open_disks()) == 1
    world.cloud.set_limits({})
    run = world.save("--vm", "other")
    assert run.code == 0 and len(run.document["accessRevoked"]) == 1, run.stdout
    assert world.open_disks() == []
    world.cloud.clear_calls()
    assert world.save("--vm", "golden").code == 0
    assert recorded and world.written_offsets() and not recorded & world.written_offsets()


def test_a_disk_that_was_used_after_an_interrupted_save_is_copied_again(world: FactoryWorld) -> None:
    """The copied ranges may differ from the disk; Azure supports no conditions on its content."""
    world.add_vm("golden", **DISK_SIZE)
    world.cloud.set_limits({"blobBytesPerSecond": 6 * MIB, "queueSeconds": 60})
    world.interrupted(lambda: world.called("PUT", UNFINISHED), signal.SIGINT)
    world.cloud.set_limits({})
    world.set_power("golden", "running")
    world.set_power("golden", "deallocated")
    world.cloud.clear_calls()
    run = world.save()
    assert run.code == 0 and any("restarts" in text for text in run.document["warnings"]), run.stdout
    assert world.moved() > 24 * MIB
    assert is_complete(world)
