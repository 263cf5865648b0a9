"""Locks of the state, as the real engine takes them in a container of Azure, and what other backends show of theirs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.storage.state_container import StateContainer, locks_in, state_container
from imagefactory.cli.stack import stack_settings
from imagefactory.doctor.locks import check_lock
from imagefactory.state.edits import StackName
from tests.doctor.doctor_world import DoctorWorld, Examined
from tests.doctor.test_findings import refused
from tests.doctor.test_stack import command
from tests.e2e.cloud_calls import storage_account
from tests.e2e.waiting import wait_until
from tests.e2e.world import UP

pytestmark = pytest.mark.engine

CONTAINER, PREFIX = "pulumi-state", "team/a"
HOLDER = {"pid": 7, "username": "ann", "hostname": "agent", "timestamp": "2026-11-27T10:00:00.5Z"}
"""As the engine wrote it."""


class AzureState:
    """The state of a world in a container of a storage account of its own, opened with the account's key."""

    def __init__(self, world: DoctorWorld) -> None:
        self.world, self.lab = world, world.add_lab("state")
        about = storage_account(world.cloud, world.status, self.lab.account)
        self.account, self.key = self.lab.account, str(about["key"])
        self.container: ContainerClient = world.service(self.lab).create_container(CONTAINER)
        domain = str(about["blobEndpoint"]).split("/")[2]
        self.url = f"azblob://{CONTAINER}/{PREFIX}?storage_account={self.account}&domain={domain}&protocol=http"
        self.key_variables = {"AZURE_STORAGE_ACCOUNT": self.account, "AZURE_STORAGE_KEY": self.key}
        world.environment = {**world.environment, **self.key_variables, "PULUMI_BACKEND_URL": self.url}

    def init(self) -> None:
        """Create the stack there."""
        self.world.write_configuration()
        (self.world.folder / "stacks" / f"{self.world.stack}.json").touch()  # no stack is made in the folder
        self.pulumi("stack", "init", self.world.stack, "--no-select")

    def pulumi(self, *words: str) -> None:
        """A command of the engine."""
        subprocess.run(["pulumi", *words], cwd=self.world.folder, env=self.world.environment, check=True)

    def locks(self) -> list[str]:
        """The locks."""
        folder = f"{PREFIX}/.pulumi/locks/organization/imagefactory/{self.world.stack}/"
        return list(self.container.list_blob_names(name_starts_with=folder))

    def lock(self) -> None:
        """Lock the stack, as the engine does."""
        folder = f"{PREFIX}/.pulumi/locks/organization/imagefactory/{self.world.stack}"
        self.container.upload_blob(f"{folder}/1.json", json.dumps(HOLDER))

    def place(self, **variables: str) -> StateContainer:
        """Where it is, opened as the variables say."""
        found = state_container(self.url, variables)
        assert found
        return found


@pytest.fixture
def state(world: DoctorWorld) -> AzureState:
    """The state of the world in Azure."""
    return AzureState(world)


@pytest.fixture
def in_folder(world: DoctorWorld, signed_in: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process runs in the folder of the project, as the command does."""
    for name in ("IMAGEFACTORY_RESOURCE_MANAGER", "IMAGEFACTORY_BLOB_ENDPOINT"):
        monkeypatch.setenv(name, world.environment[name])
    world.write_configuration()
    monkeypatch.chdir(world.folder)
    yield


def lock_row(found: Examined) -> dict[str, Any]:
    """The check of the lock."""
    return found.check("stack", "state lock")


def test_a_lock_that_a_running_update_holds_in_azure_is_found_until_it_is_canceled(state: AzureState) -> None:
    """By the real engine: `pulumi up`, which waits for a slow copy, then `pulumi cancel`."""
    state.init()
    world = state.world
    found = world.doctor()
    assert found.not_ok() == [] and lock_row(found)["fact"] == "none"
    assert "?" not in found.check("stack", "state backend")["fact"]
    world.cloud.set_latencies({"pageSeconds": 600})
    process = world.start(*UP)
    try:
        wait_until(lambda: bool(state.locks()))
        row = lock_row(world.doctor())
        assert row["result"] == "failure" and f"(pid {process.pid}) since 20" in row["fact"] and "@" in row["fact"]
        assert "pulumi cancel --stack test" in row["remedy"]
        assert state.key not in json.dumps(row)
        state.pulumi("cancel", "--yes", "--stack", world.stack)
        assert lock_row(world.doctor())["result"] == "ok"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    assert state.key not in found.ended.stdout + found.ended.stderr


def test_locks_are_not_read_where_access_is_denied(state: AzureState) -> None:
    """With pulumi's own key that keeps it from its lock, too."""
    state.init()
    world = state.world
    world.cloud.set_faults([refused(f"^/{state.account}/.*locks", "blob", "AuthorizationPermissionMismatch")])
    found = world.doctor()
    assert found.not_ok() == [("stack", "state lock", "failure")]
    row = lock_row(found)
    assert "AuthorizationPermissionMismatch" in row["fact"] and "AZURE_STORAGE_KEY" in row["remedy"]
    world.cloud.set_faults([refused(f"^/{state.account}/{CONTAINER}", "blob", "AuthorizationPermissionMismatch")])
    assert ("stack", "state backend", "failure") in world.doctor().not_ok()
    assert lock_row(world.doctor())["result"] == "failure"


async def test_locks_are_read_by_each_way_that_pulumi_has(state: AzureState, in_folder: None) -> None:
    """Key, SAS, connection string, and without them the run's identity; a lock that is being deleted is none."""
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    state.lock()
    sas = generate_container_sas(
        state.account,
        CONTAINER,
        account_key=state.key,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry="2099-01-01T00:00:00Z",
    )
    endpoint = state.container.primary_endpoint.rpartition("/")[0]
    whole = f"AccountName={state.account};AccountKey={state.key};BlobEndpoint={endpoint}"
    cloud = cloud_of(stack_settings(state.world.stack))
    ways: tuple[dict[str, str], ...] = (
        state.key_variables,
        {"AZURE_STORAGE_SAS_TOKEN": sas},
        {"AZURE_STORAGE_CONNECTION_STRING": whole},
        {},
    )
    for variables in ways:
        found = await locks_in(state.place(**variables), cloud, "imagefactory", state.world.stack)
        assert {name: json.loads(content) for name, content in found.items()} == {"1.json": HOLDER}, variables
        assert await locks_in(state.place(**variables), cloud, "imagefactory", "tes") == {}
    gone = {"service": "blob", "path": "1.json", "action": {"status": 404, "code": "BlobNotFound"}}
    state.world.cloud.set_faults([gone])
    assert await locks_in(state.place(), cloud, "imagefactory", state.world.stack) == {}


async def test_a_container_that_the_runs_identity_may_not_list_names_the_role(
    state: AzureState, in_folder: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure if pulumi cannot read the state either: else pulumi is another identity, which may be permitted."""
    for name in ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"):
        monkeypatch.delenv(name, raising=False)
    stack, cloud = StackName("imagefactory", state.world.stack), cloud_of(stack_settings(state.world.stack))
    state.lock()
    assert (await check_lock(state.url, stack, cloud, readable=True)).result == "failure"
    state.world.cloud.set_faults([refused(f"^/{state.account}/", "blob", "AuthorizationPermissionMismatch")])
    for readable, result in ((False, "failure"), (True, "unknown")):
        found = await check_lock(state.url, stack, cloud, readable=readable)
        assert found.result == result, found
        role = f"role Storage Blob Data Contributor on container '{CONTAINER}' of storage account '{state.account}'"
        assert role in found.remedy and ("could read the state" in found.fact) == readable
    state.world.cloud.set_faults([refused(f"^/{state.account}/", "blob", "AuthorizationFailure")])
    assert "labs-behind-firewalls" in (await check_lock(state.url, stack, cloud, readable=False)).remedy


async def test_no_token_is_sent_to_a_host_that_is_not_azures(in_folder: None, world: DoctorWorld) -> None:
    """Whatever the URL of the backend names; nor over plain HTTP."""
    cloud = cloud_of(stack_settings(world.stack))
    for url, part in (
        (f"azblob://{CONTAINER}?storage_account=acc&domain=blob.example.com", "no token is sent"),
        (f"azblob://{CONTAINER}?storage_account=acc&domain=evilblob.core.windows.net.example.com", "no token is sent"),
        (f"azblob://{CONTAINER}?storage_account=acc&protocol=http", "not encrypted"),
    ):
        place = state_container(url, {})
        assert place
        with pytest.raises(CloudError, match=part):
            await locks_in(place, cloud, "imagefactory", "test")


def backend(world: DoctorWorld, folder: Path, url: str, listed: object) -> Examined:
    """The checks with a pulumi command that tells of another backend; the state is that of the folder."""
    world.doctor()
    real = next(each for each in world.environment["PATH"].split(os.pathsep) if Path(each, "pulumi").exists())
    shown = {"whoami": {"user": "ann", "url": url}, "stack ls": listed}
    cases = " ".join(f"{words!r}*) echo '{json.dumps(answer)}';;" for words, answer in shown.items())
    tools = command(folder, "pulumi", f'case "$*" in {cases} *) exec "{real}/pulumi" "$@";; esac')
    return world.doctor(variables={"PATH": f"{tools}{os.pathsep}{world.environment['PATH']}"})


@pytest.mark.parametrize(
    ("listed", "result", "part"),
    [
        (
            [{"name": "test", "updateInProgress": True}, {"name": "other"}],
            "failure",
            "update of the stack is in progress",
        ),
        ([{"name": "team/imagefactory/test", "updateInProgress": False}], "ok", "no update"),
        ([{"name": "test", "current": True}], "ok", "no update"),
        ([{"name": "a/test"}, {"name": "b/test", "updateInProgress": True}], "unknown", "2 stacks of this name"),
        ({"name": "test"}, "unknown", "not as documented"),
    ],
)
def test_an_update_in_pulumi_cloud_is_found(
    world: DoctorWorld, tmp_path: Path, listed: object, result: str, part: str
) -> None:
    """By `pulumi stack ls --json`, in which a stack that was never updated has no `updateInProgress`."""
    row = lock_row(backend(world, tmp_path / "bin", "https://app.pulumi.com/ann", listed))
    assert row["result"] == result and part in row["fact"], row
    assert result == "ok" or "pulumi cancel --stack test" in row["remedy"]


@pytest.mark.parametrize("url", ["s3://state", "gs://state", "postgres://host/state"])
def test_locks_of_other_backends_are_unknown_with_the_reason(world: DoctorWorld, tmp_path: Path, url: str) -> None:
    """No command of pulumi shows them."""
    row = lock_row(backend(world, tmp_path / "bin", url, []))
    assert row["result"] == "unknown" and url.partition(":")[0] in row["fact"] and "pulumi cancel" in row["remedy"]
