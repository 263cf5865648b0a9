"""A stack that is fine: what `imagefactory doctor` checks, that it writes nothing, and what a probe writes."""

from __future__ import annotations

import signal
import time

import pytest

from tests.doctor.doctor_world import DoctorWorld

pytestmark = pytest.mark.engine

STACK = {
    "labs.json",
    "python",
    "pulumi",
    "plugin azure-native",
    "plugin vhdcopy",
    "language host",
    "sign-in",
    "clock",
    "state backend",
    "state lock",
    "pending operations",
    "unfinished resources",
}
ACCOUNT = {"lab", "storage account", "network rules", "shared keys", "read blobs", "write blobs"}
LAB = {*ACCOUNT, "copy scope", "permissions on the lab", "images not in the state"}


def test_all_checks_of_a_stack_that_is_fine_are_ok_and_nothing_is_written(world: DoctorWorld) -> None:
    """Only GET and HEAD, to Azure and to the state."""
    state = {path: path.read_bytes() for path in (world.folder / "stacks").rglob("*") if path.is_file()}
    found = world.doctor()
    assert found.not_ok() == [] and world.written() == []
    after = {path: path.read_bytes() for path in (world.folder / "stacks").rglob("*") if path.is_file()}
    assert {path: after[path] for path in state} == state
    checks: dict[str, set[str]] = {}
    for one in found.checks:
        checks.setdefault(one["subject"], set()).add(one["check"])
    about = ("", "permissions on ", "deny assignments of ")
    subscription = {f"{what}subscription {world.subscription}" for what in about}
    saving = {"permissions to save", "permission to read disk operations", "permissions to delete VMs"}
    assert checks == {"stack": STACK | subscription, "factory": ACCOUNT | saving, world.web: LAB}
    assert found.ended.document["stack"] == "imagefactory/test" and not found.ended.document["wouldFail"]
    assert "tenant 00000000-0000-0000-0000-0000000000aa" in found.check("stack", "sign-in")["fact"]
    assert "sign-in" in STACK and "eyJ" not in found.ended.stdout


def test_the_table_counts_what_is_ok(world: DoctorWorld) -> None:
    """A row for each subject; all checks with --verbose."""
    world.doctor()
    short = world.command("doctor")
    assert short.code == 0 and "15 checks" in short.stdout and "copy scope" not in short.stdout, short.stdout
    verbose = world.command("doctor", "--verbose")
    assert verbose.code == 0 and "copy scope" in verbose.stdout and world.web in verbose.stdout, verbose.stdout


def test_a_probe_writes_one_blob_to_each_account_and_deletes_it(world: DoctorWorld) -> None:
    """Accounts that two labs share get one."""
    world.add_lab("twin", "Win2016", account=world.labs["web"].account)
    world.cloud.clear_calls()
    blobs = world.blobs()
    found = world.doctor("--write-probe")
    assert found.not_ok() == []
    assert {one["fact"] for one in found.checks if one["check"] == "write blobs"} == {
        "a page blob of 512 bytes was written and deleted"
    }
    writes = [
        call for call in world.cloud.calls() if call["method"] == "PUT" and "imagefactory-doctor-" in call["path"]
    ]
    assert sorted(call["path"].split("/")[1] for call in writes) == sorted(
        {world.factory.account, world.labs["web"].account}
    )
    assert world.staged(world.labs["web"]) == [] and world.blobs() == blobs


def test_ctrl_c_deletes_the_blob_of_a_probe(world: DoctorWorld) -> None:
    """Even if it comes while the blob is being written."""
    world.doctor()
    account = world.labs["web"].account
    rule = {"service": "blob", "method": "HEAD", "path": f"/{account}/.*imagefactory-doctor-"}
    world.cloud.set_faults([{**rule, "action": {"delaySeconds": 2}}])
    process = world.launch("doctor", "--json", "--write-probe")
    while not world.called("PUT", f"/{account}/imagefactory-staging/imagefactory-doctor-"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in stderr, stderr
    assert world.staged(world.labs["web"]) == []


def test_with_account_keys_the_keys_are_read_and_nothing_else_is_posted(world: DoctorWorld) -> None:
    """`listKeys` is how blobs are read with them; the permission for it is checked."""
    world.settings["storageAuth"] = "key"
    found = world.doctor()
    assert found.not_ok() == []
    assert {call.rpartition("/")[2] for call in world.written()} == {"listKeys"}
    assert found.check(world.web, "permission to read keys")["result"] == "ok"


def test_sixty_labs_are_checked_in_one_run(world: DoctorWorld) -> None:
    """Each with all its checks, though one of them cannot be read and one has the wrong account."""
    for number in range(59):
        world.add_lab(f"lab{number:02}", "Win2016")
    wrong, unread = world.labs["lab07"], world.labs["lab31"]
    world.cloud.set_storage_account(wrong.account, kind="BlockBlobStorage")
    fault = {"service": "arm", "path": f"{unread.id}/customimages", "action": {"status": 403, "code": "Forbidden"}}
    world.cloud.set_faults([fault])
    began = time.monotonic()
    found = world.doctor()
    print(f"60 labs: {time.monotonic() - began:.1f} s")
    assert found.not_ok() == [
        (world.label("lab07"), "storage account", "failure"),
        (world.label("lab31"), "lab", "failure"),
    ]
    labs = [one["subject"] for one in found.checks if "@" in one["subject"]]
    assert labs[0] == world.label("lab07") and len(set(labs)) == 60
