"""The embedded cloud as a program on one state folder, and a seed for it, shared by the tests of this folder."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure.storage.blob import BlobServiceClient, ContainerClient

from localcloud.client import CloudClient, CloudError
from localcloud.state_lock import is_locked

MIB = 1024 * 1024
DISK_BYTES = 16 * MIB
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
COMPANION = {"imageName": "Win2016_Datacenter-Jun-26-2020", "imagePath": "Win2016\\Datacenter.json"}
SEED: dict[str, Any] = {
    "subscriptions": [
        {
            "subscriptionId": SUBSCRIPTION,
            "labs": [
                {
                    "name": "Factory",
                    "resourceGroup": "factory",
                    "region": "westeurope",
                    "storageAccount": "factorystore",
                },
                {"name": "empty", "resourceGroup": "labs", "region": "westeurope", "storageAccount": None},
            ],
        }
    ],
    "factoryImages": [
        {
            "lab": "factory",
            "vhd": "one.vhd",
            "sizeBytes": DISK_BYTES,
            "allocatedBytes": MIB,
            "files": {"etc/image": "one"},
            "metadata": {"imagename": "one"},
            "companion": COMPANION,
            "companionEncoding": "utf-16",
        },
        {"lab": "factory", "vhd": "unfinished.vhd", "sizeBytes": DISK_BYTES, "companion": None},
        {
            "subscriptionId": SUBSCRIPTION.upper(),
            "lab": "factory",
            "vhd": "junk.vhd",
            "sizeBytes": DISK_BYTES,
            "companionBase64": base64.b64encode(b"\x00junk").decode(),
        },
    ],
    "storageAccounts": ["sparestore"],
}


def seed_of(account: str) -> dict[str, Any]:
    """The same factory with another name and storage account, in a subscription of its own."""
    subscription, name = str(uuid.uuid4()), f"Factory-{account}"
    lab = {**SEED["subscriptions"][0]["labs"][0], "name": name, "storageAccount": account}
    images = [
        {
            **image,
            "lab": name.lower(),
            "subscriptionId": subscription.upper() if "subscriptionId" in image else subscription,
        }
        for image in SEED["factoryImages"]
    ]
    return {"subscriptions": [{"subscriptionId": subscription, "labs": [lab]}], "factoryImages": images}


@dataclass
class Program:
    """`python -m localcloud` on one state folder."""

    state: Path
    environment: Mapping[str, str]
    serving: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def client(self) -> CloudClient:
        """The client of the control API."""
        return CloudClient(self.state)

    def run(self, verb: str, *arguments: str | Path, ok: bool = True, **environment: str) -> str:
        """Run a command until it exits; return its output (both streams)."""
        ended = subprocess.run(
            self._command(verb, *arguments),
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=100,
        )
        assert (ended.returncode == 0) is ok, ended.stdout
        assert "Traceback" not in ended.stdout
        return ended.stdout

    def serve(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Serve in the foreground of another process."""
        process = subprocess.Popen(
            self._command("serve", *arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.serving.append(process)
        return process

    def seed_file(self, document: object) -> Path:
        """Write a seed file beside the state folder."""
        path = self.state.with_name("seed.json")
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    def container(self, name: str = "imagefactoryvhds", account: str = "factorystore") -> ContainerClient:
        """Return a client of a container of an embedded account."""
        found = next(each for each in self.client.status()["storageAccounts"] if each["name"] == account)
        credential = {"account_name": account, "account_key": found["key"]}
        return BlobServiceClient(found["blobEndpoint"], credential, retry_total=0).get_container_client(name)

    def contents(self, account: str = "factorystore") -> dict[str, tuple[bytes, Mapping[str, str]]]:
        """Return bytes and metadata of every blob in the factory container."""
        container = self.container(account=account)
        return {
            blob.name: (container.download_blob(blob.name).readall(), blob.metadata)
            for blob in container.list_blobs(include=["metadata"])
        }

    def end(self) -> None:
        """Stop the cloud on the state folder, if any."""
        if is_locked(self.state):
            subprocess.run(self._command("stop"), env=self.environment, check=False, capture_output=True)
        for process in self.serving:
            process.kill()
            process.communicate()

    def _command(self, verb: str, *arguments: str | Path) -> list[str]:
        given = [str(each) for each in arguments]
        return [sys.executable, "-m", "localcloud", verb, "--state", str(self.state), *given]


def wait(until: Callable[[], object]) -> None:
    """Return once the condition is true."""
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, "not true within 60 s"
        time.sleep(0.05)


def answers(client: CloudClient) -> bool:
    """Return whether the cloud is ready."""
    try:
        return bool(client.status())
    except CloudError:
        return False
