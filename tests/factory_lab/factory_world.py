"""A world whose factory lab has VMs, and the commands that run in it.

Acts like users and Azure in the factory lab, and reads its storage and disks. Does not assert results.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import requests
from azure.storage.blob import BlobLeaseClient

from imagefactory.images.ranges_manifest import parse_manifest
from imagefactory.observed.factory_blobs import UNFINISHED
from tests.e2e.world import FACTORY_CONTAINER, MIB, RANGES, STACK, World
from tests.warm.python import COLD

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


@dataclass(frozen=True)
class Ended:
    """The result of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on standard output."""
        return dict(json.loads(self.stdout))

    def results(self) -> dict[str, str]:
        """The result of each VM, or of each deletion of a prune, by name."""
        if "deletions" in self.document:
            return {one["name"]: one["result"] for one in self.document["deletions"]}
        return {row["vm"]: row["result"] for row in self.document["vms"]}

    @property
    def has_nothing_to_delete(self) -> bool:
        """Whether a prune succeeded with an empty plan."""
        return self.code == 0 and self.stdout.startswith("0 to delete")

    def row(self, vm: str) -> dict[str, Any]:
        """Return the row of a VM."""
        return next(dict(row) for row in self.document["vms"] if row["vm"] == vm)


class FactoryWorld(World):
    """A world whose factory lab has VMs."""

    def add_vm(self, name: str = "golden", path: str | None = WINDOWS, **changes: Any) -> None:
        """Add a finished VM of a golden image (None: without the tag ImagePath)."""
        tags = {**({"ImagePath": path} if path else {}), **changes.pop("tags", {})}
        os_type = "Linux" if path and "Ubuntu" in path else "Windows"
        facts = {"osType": os_type, "sizeBytes": 16 * MIB, "allocatedBytes": 5 * MIB, "notes": f"Golden Image: {name}"}
        if path:
            self.define(path)
        self._seed_lab(self.factory)
        machine = {"name": name, "tags": tags, **facts, "files": {"etc/vm": name}, **changes}
        lab = {
            "name": self.factory.name,
            "resourceGroup": self.factory.group,
            "region": "westeurope",
            "storageAccount": self.factory.account,
            "virtualMachines": [machine],
        }
        self.cloud.seed({"subscriptions": [{"subscriptionId": self.subscription, "labs": [lab]}]})

    def set_power(self, name: str, state: str) -> None:
        """Start or stop a VM, like a user does."""
        lab = self.factory
        self.cloud.set_virtual_machine(lab.subscription, lab.group, lab.name, name, power_state=state)

    def use(self, name: str = "golden", text: str = "written since") -> None:
        """Start a VM, which writes `text` to its disks, and stop it again, like a user does."""
        lab = self.factory
        self.set_power(name, "running")
        self.cloud.set_virtual_machine(lab.subscription, lab.group, lab.name, name, writes=text)
        self.set_power(name, "deallocated")

    def save(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Ended:
        """Run `imagefactory save --json`."""
        return self.command("save", "--json", *arguments, variables=variables)

    def command(self, *arguments: str, variables: Mapping[str, str] | None = None, timeout: float = 100) -> Ended:
        """Run a subcommand of `imagefactory` on this world's stack."""
        process = self.launch(*arguments, variables=variables)
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            raise AssertionError(f"{arguments} did not end:\n{stdout}\n{stderr}") from None
        assert "Traceback" not in stderr + stdout, stderr
        assert "sig=" not in stderr + stdout
        return Ended(process.returncode, stdout, stderr)

    def launch(self, *arguments: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a subcommand without waiting for it; it can be killed."""
        return self._launch(self.words(*arguments, python=self.python), variables)

    def _launch(
        self, command: Sequence[str | Path], variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        self.write_configuration()
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.variables(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    @staticmethod
    def words(verb: str, *arguments: str, python: Path = COLD) -> list[str | Path]:
        """Return the command line of a subcommand on this world's stack."""
        return [python, "-c", "from imagefactory.cli.main import main; main()", verb, "-s", STACK, *arguments]

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a developer in this world's folder, with `more`."""
        return {**_without_ci(self.environment), **(more or {}), "PYTHONPATH": os.fspath(self.folder)}

    def interrupted(self, when: Callable[[], bool], number: int, *arguments: str) -> Ended:
        """Run a save that receives a signal when `when` is true."""
        process = self.launch("save", "--json", *arguments)
        while not when():
            assert process.poll() is None, "it ended before it could be stopped"
            time.sleep(0.04)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
        assert number == signal.SIGKILL or "Traceback" not in stderr, stderr
        return Ended(process.returncode, stdout, stderr)

    def called(self, method: str, part: str) -> bool:
        """Return whether a call with `part` in its path has been answered."""
        return any(call["method"] == method and part in call["path"] for call in self.cloud.calls())

    # The state of the cloud.

    def machines(self) -> dict[str, dict[str, Any]]:
        """Return the VMs of the factory lab by name."""
        return {vm["name"]: vm for vm in self._arm("GET", f"{self.factory.id}/virtualmachines")["value"]}

    def open_disks(self) -> list[str]:
        """Return the names of this world's disks with active access, in lower case."""
        own = f"/subscriptions/{self.subscription}/".lower()
        ids = [str(each["disk"]).lower() for each in self.cloud.status()["diskAccess"]]
        return [disk_id.rpartition("/")[2] for disk_id in ids if own in disk_id]

    def blobs(self) -> dict[str, dict[str, str]]:
        """Return the metadata of the blobs in the factory's container."""
        container = self.service(self.factory).get_container_client(FACTORY_CONTAINER)
        return {blob.name: dict(blob.metadata or {}) for blob in container.list_blobs(include=["metadata"])}

    def companions(self) -> dict[str, dict[str, Any]]:
        """Return the companions by image name."""
        names = [name for name in self.blobs() if name.endswith(".json")]
        documents = [json.loads(self.bytes_of(self.factory, FACTORY_CONTAINER, name)) for name in names]
        return {document["imageName"]: document for document in documents}

    def disk_bytes(self, vm: str, lun: int | None = None) -> bytes:
        """Return the content of a VM's disk with its footer, read through a SAS; `lun` None: the OS disk."""
        disk_id = self.disk_id(vm, lun)
        answer = self._post(f"{disk_id}/beginGetAccess", {"access": "Read", "durationInSeconds": 600})
        content = requests.get(answer["accessSAS"], headers={"x-ms-version": "2021-12-02"}, timeout=30).content
        self._post(f"{disk_id}/endGetAccess", None)
        return content

    def grant(self, vm: str) -> str:
        """Grant access to the OS disk of a VM, like another user does; return the SAS URL."""
        access = {"access": "Read", "durationInSeconds": 600}
        return str(self._post(f"{self.disk_id(vm)}/beginGetAccess", access)["accessSAS"])

    def revoke(self, vm: str) -> None:
        """Revoke all access to the OS disk of a VM."""
        self._post(f"{self.disk_id(vm)}/endGetAccess", None)

    def disk_id(self, vm: str, lun: int | None = None) -> str:
        """Return the ARM id of a VM's disk; `lun` None: the OS disk."""
        storage = self._compute(self.machines()[vm]["properties"]["computeId"])["properties"]["storageProfile"]
        disk = storage["osDisk"] if lun is None else next(each for each in storage["dataDisks"] if each["lun"] == lun)
        return str(disk["managedDisk"]["id"])

    def released(self, vm: str, lun: int | None = None) -> str:
        """Return when the VM of a disk was last started or stopped, as Azure returns it."""
        about = self.request("GET", f"{self.disk_id(vm, lun)}?api-version=2023-10-02").json()
        return str(about["properties"]["LastOwnershipUpdateTime"])

    def end_leases(self) -> None:
        """End the leases of a killed run, as if 30 s had passed."""
        container = self.service(self.factory).get_container_client(FACTORY_CONTAINER)
        for name in self.leftovers():
            if name.endswith(".save"):
                BlobLeaseClient(container.get_blob_client(name)).break_lease(0)

    def leftovers(self) -> list[str]:
        """Return the names of the blobs that only an unfinished save has."""
        return sorted(name for name in self.blobs() if name.endswith((".save", ".name")))

    def moved(self) -> int:
        """Return the bytes written in ranges to the factory's container since the journal was cleared."""
        return sum(call["length"] for call in self._range_writes())

    def written_offsets(self) -> set[int]:
        """Return the offsets of the ranges written to the factory's container since the journal was cleared.

        A request that an interrupted run left may be among them: the service finishes it.
        """
        return {call["offset"] for call in self._range_writes()}

    def recorded(self) -> set[int]:
        """Return the offsets of the ranges that the record of the only unfinished VHD lists."""
        (name,) = [name for name in self.blobs() if name.endswith(UNFINISHED)]
        record = parse_manifest(self.bytes_of(self.factory, FACTORY_CONTAINER, name), RANGES)
        return {part.offset for part in record.ranges}

    def _range_writes(self) -> list[dict[str, Any]]:
        place = f"/{self.factory.account}/{FACTORY_CONTAINER}/"
        calls = self.cloud.calls()
        return [each for each in calls if each["path"].startswith(place) and each["length"] and each["status"] == 201]

    def record_names(self) -> set[str]:
        """Return the image names that unfinished saves reserve."""
        return {unquote(about.get("name", "")) for name, about in self.blobs().items() if name.endswith(".save")}

    def _compute(self, path: str) -> dict[str, Any]:
        return self.request("GET", f"{path}?api-version=2024-07-01").json()  # type: ignore[no-any-return]

    def _post(self, path: str, body: Any) -> dict[str, Any]:
        answer = self.request("POST", f"{path}?api-version=2023-10-02", body)
        answer.raise_for_status()
        url = answer.headers.get("Location")
        while url and answer.status_code in {201, 202}:
            time.sleep(0.02)
            answer = self.request("GET", url)
        return dict(answer.json()) if answer.content else {}


def _without_ci(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a developer, even if the tests run in a pipeline."""
    names = ("CI", "TF_BUILD", "GITHUB_", "BUILD_", "SYSTEM_", "GIT_", "CI_")
    return {name: value for name, value in environment.items() if not name.startswith(names)}
