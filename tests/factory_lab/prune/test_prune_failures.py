"""A prune that is denied, interrupted, killed or late: other deletions continue, and the next prune finishes."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefactory.images.companions import FactoryImage
from localcloud.client import CloudClient
from tests.e2e.world import MIB
from tests.factory_lab.factory_world import FactoryWorld
from tests.factory_lab.prune.prune_world import PruneWorld, images_of
from tests.factory_lab.terminal import Terminal
from tests.localcloud.cloud_program import wait
from tests.warm.python import COLD

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
PROMPT = "? [y/N]"


def two_to_delete(factory: PruneWorld) -> tuple[FactoryImage, FactoryImage, FactoryImage]:
    """Create an image with all possible files and a plain one, both to delete, and one to keep."""
    rich, plain, newest = factory.image(13), factory.image(14), factory.image(15)
    factory.saved_extras(rich)
    return rich, plain, newest


def prompted(factory: PruneWorld, python: Path = COLD) -> Terminal:
    """A prune at a terminal, which shows its prompt."""
    terminal = Terminal(factory.command("--keep", "1", python=python), factory.world.folder, factory.environment)
    terminal.read_until(PROMPT)
    return terminal


@pytest.mark.parametrize(
    "path",
    [r"[0-9a-f]\.json", r"[0-9a-f]\.vhd", r"lun0\.vhd", r"[0-9a-f]\.ranges\.json\.gz", r"\.name", r"[0-9a-f]\.save"],
)
def test_a_denied_deletion_is_reported_and_done_by_the_next_prune(factory: PruneWorld, path: str) -> None:
    """At every step: the other image is deleted, and the exit code is 1."""
    rich, plain, newest = two_to_delete(factory)
    guid = rich.vhd_name.removesuffix(".vhd")
    pattern = path.replace("[0-9a-f]", guid) if "[0-9a-f]" in path else path
    refusal = {"status": 403, "code": "AuthorizationFailure"}
    factory.world.cloud.set_faults([{"service": "blob", "method": "DELETE", "path": pattern, "action": refusal}])
    run = factory.prune("--yes", "--keep", "1", "--json")
    factory.world.cloud.clear_faults()
    assert run.code == 1 and run.results() == {rich.name: "failed", plain.name: "deleted"}
    (failure,) = run.document["failures"]
    assert "AuthorizationFailure" in failure and f"{rich.name} is not deleted, or only in part" in failure
    left = factory.held()
    assert left > images_of(newest) and not left & images_of(plain)
    time.sleep(0.1)
    again = factory.prune("--yes", "--keep", "1", "--json")
    assert again.code == 0, again.stdout + again.stderr
    assert factory.held() == images_of(newest)


@pytest.mark.parametrize("path", [r"\.json", r"\.vhd", r"\.save"])
def test_a_lost_response_is_not_a_failure(factory: PruneWorld, path: str) -> None:
    """The retry finds that the blob is deleted, which is success."""
    _, _, newest = two_to_delete(factory)
    lost = {"service": "blob", "method": "DELETE", "path": path, "nth": 1, "action": {"drop": "after"}}
    factory.world.cloud.set_faults([lost])
    assert factory.prune("--yes", "--keep", "1").code == 0
    assert factory.held() == images_of(newest)


def test_a_vhd_that_cannot_be_checked_keeps_its_companion(factory: PruneWorld) -> None:
    """Nothing of an image is deleted before its VHD is known to be unchanged."""
    rich, plain, newest = two_to_delete(factory)
    refusal = {"status": 403, "code": "AuthorizationFailure"}
    rule = {"service": "blob", "method": "HEAD", "path": rich.vhd_name, "action": refusal}
    factory.world.cloud.set_faults([rule])
    assert factory.prune("--yes", "--keep", "1", "--json").results()[plain.name] == "deleted"
    assert images_of(rich, newest) < factory.held()


def test_the_next_prune_finishes_one_that_was_killed(factory: PruneWorld) -> None:
    """kill -9 after the companion was deleted: an unfinished save remains."""
    old, newest = factory.image(13), factory.image(14)
    slow = {"service": "blob", "method": "DELETE", "path": r"\.vhd", "action": {"delaySeconds": 8}}
    factory.world.cloud.set_faults([slow])
    process = factory.start("--yes", "--keep", "1")
    wait(lambda: old.vhd_name.replace(".vhd", ".json") not in factory.held())
    process.kill()
    process.communicate()
    factory.world.cloud.clear_faults()
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0 and factory.held() == images_of(newest), run.stdout + run.stderr
    assert [one["kind"] for one in run.document["deletions"]] in (["unfinished save"], [])


def test_files_of_a_killed_save_are_deleted_and_its_vm_is_saved_again(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> None:
    """Also the active access to its disk is revoked; while the lease on its record is active, they are kept."""
    world = FactoryWorld(fresh_cloud, shell, accounts, project_folder, python)
    factory = PruneWorld(world)
    world.add_vm("golden", sizeBytes=24 * MIB, allocatedBytes=12 * MIB)
    world.cloud.set_limits({"blobBytesPerSecond": 6 * MIB, "queueSeconds": 60})
    world.interrupted(lambda: world.called("PUT", ".copying.json.gz"), signal.SIGKILL)
    world.cloud.set_limits({})
    left = factory.held()
    assert {name.rpartition(".")[2] for name in left} == {"vhd", "gz", "save", "name"}
    assert factory.prune("--yes", "--keep", "1").has_nothing_to_delete and factory.held() == left
    world.end_leases()
    assert len(world.open_disks()) == 1
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    world.cloud.set_faults([{"service": "arm", "path": "endGetAccess", "action": refusal}])
    assert factory.prune("--yes", "--keep", "1").code == 1 and factory.held() == left
    world.cloud.clear_faults()
    run = factory.prune("--yes", "--keep", "1", "--json")
    while "since it was listed" in run.stdout:  # requests of the killed save that the service has queued still arrive
        run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0 and [one["kind"] for one in run.document["deletions"]] == ["unfinished save"], run.stdout
    assert factory.held() == set() and world.open_disks() == []
    assert world.save().results() == {"golden": "saved"}
    assert factory.prune("--yes", "--keep", "1").has_nothing_to_delete


def test_ctrl_c_finishes_deletions_in_progress_and_starts_no_others(factory: PruneWorld) -> None:
    """The others are reported as not done; the exit code is that of the signal."""
    images = [factory.image(1, name=f"image-{n:02}") for n in range(18)]
    newest = factory.image(14)
    slow = {"service": "blob", "method": "DELETE", "path": r"\.json", "action": {"delaySeconds": 2}}
    factory.world.cloud.set_faults([slow])
    process = factory.start("--yes", "--keep", "1", "--json")
    wait(lambda: int(factory.world.cloud.faults()[0]["seen"]) >= 16)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "finishing the deletions in progress" in err
    assert out.count('"deleted"') == 16 and out.count('"not done"') == 2
    assert len(factory.held()) == 2 * (len(images) - 16 + 1) and images_of(newest) < factory.held()


def test_in_an_account_that_exceeds_the_deletion_limit_nothing_is_deleted(factory: PruneWorld) -> None:
    """Images, unfinished saves and staged VHDs count, per account; orphaned files do not. The plan is shown."""
    factory.image(13), factory.image(14)
    factory.vhd(f"{GUID}.vhd")
    factory.document("Gone-Jun-1-2026.name", guid="gone")
    retired = f"{factory.lab.account}: {factory.stage('retired.vhd')}"
    everything = factory.held()
    run = factory.prune("--yes", "--keep", "1", "--max-deletes", "0")
    assert run.code == 1 and factory.held() == everything and factory.deletes() == []
    assert (
        f"{factory.world.factory.account}: 2 images, unfinished saves and staged VHDs exceed --max-deletes 0"
        in run.stdout
    )
    assert f"{GUID}.vhd" in run.stdout and "retired.vhd" in run.stdout and "Delete" not in run.stdout
    partly = factory.prune("--yes", "--keep", "1", "--max-deletes", "1", "--json")
    assert partly.code == 1 and factory.held() == everything and factory.deletes() == []
    results = partly.results()
    assert results.pop(retired) == "deleted" and set(results.values()) == {"not deleted"}
    assert factory.prune("--yes", "--keep", "1", "--max-deletes", "2").code == 0
    assert len(factory.held()) == 2


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_without_a_terminal_nothing_is_prompted_or_deleted(factory: PruneWorld, arguments: tuple[str, ...]) -> None:
    """Exit code 2, and one line that names the options."""
    factory.image(13), factory.image(14)
    run = factory.prune("--keep", "1", *arguments)
    assert run.code == 2 and run.stdout == "" and run.stderr.count("\n") == 1
    assert "--yes" in run.stderr and "--dry-run" in run.stderr and factory.deletes() == []


def test_a_dry_run_shows_names_reasons_and_sizes_and_changes_nothing(factory: PruneWorld) -> None:
    """It needs no prompt and no terminal, and only reads."""
    old, _ = factory.image(13), factory.image(14)
    factory.saved_extras(old)
    factory.world.cloud.clear_calls()
    run = factory.prune("--keep", "1", "--dry-run")
    assert run.code == 0 and old.name in run.stdout and "older than the newest 1" in run.stdout
    assert "1 to delete, 0.00 GiB; 1 kept." in run.stdout
    calls = [call for call in factory.world.cloud.calls() if f"/{factory.world.factory.account}/" in call["path"]]
    assert calls and {call["method"] for call in calls} <= {"GET", "HEAD"}


@pytest.mark.parametrize(("answer", "is_deleted"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_it_shows_the_plan_and_prompts(factory: PruneWorld, answer: str, is_deleted: bool) -> None:
    """Only a yes deletes; to decline is not a failure, and it is confirmed."""
    old, newest = factory.image(13), factory.image(14)
    terminal = prompted(factory, factory.world.python)
    assert f"Delete 1 item{PROMPT}" in terminal.shown
    assert old.name in terminal.shown and factory.deletes() == []
    terminal.answer(answer)
    assert terminal.end() == 0
    assert ("Deleted 1 of 1" if is_deleted else "Nothing was deleted.") in terminal.shown
    assert factory.held() == (images_of(newest) if is_deleted else images_of(old, newest))


def test_ctrl_c_at_the_prompt_deletes_nothing(factory: PruneWorld) -> None:
    """It is an interruption, with its message and exit code."""
    factory.image(13), factory.image(14)
    terminal = prompted(factory)
    terminal.press_ctrl_c()
    terminal.answer("")  # a signal just before Python waits for the line does not end that wait
    assert terminal.end() == 130 and "Interrupted; nothing was deleted." in terminal.shown
    assert len(factory.held()) == 4 and factory.deletes() == []


def test_blobs_that_change_during_the_prompt_are_not_deleted(factory: PruneWorld) -> None:
    """A changed VHD, before its companion is deleted; a save that starts; a deleted blob is not a failure."""
    changed, gone, _ = factory.image(13), factory.image(12), factory.image(14)
    held = f"{GUID}.vhd"
    factory.vhd(held)
    record = factory.document(f"{GUID}.save")
    terminal = prompted(factory, factory.world.python)
    factory.factory.get_blob_client(changed.vhd_name).set_blob_metadata({"imagename": "another"})
    for name in images_of(gone):
        factory.factory.delete_blob(name)
    record.acquire_lease(60)
    terminal.answer("y")
    assert terminal.end() == 1
    assert "another client wrote to it since it was listed" in terminal.shown
    assert "is held by an active save" in terminal.shown
    assert "Deleted 1 of 3" in terminal.shown
    assert {*images_of(changed), held, f"{GUID}.save"} < factory.held()
