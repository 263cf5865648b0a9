"""Sandboxes for benchmarks: an embedded cloud with factories and labs, and temporary Pulumi projects.

Creates and removes them, and measures the time of a command.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.processes import Processes
from localcloud.client import CloudClient
from toolchain.checkout import Checkout
from toolchain.cloud import emulator_variables
from toolchain.shell import cloud_variables, tool_variables
from toolchain.stack import set_up

STACK = "bench"
PRODUCT = ("Pulumi.yaml", "__main__.py", ".venv", "components", "imagefactory", "providers")
BARE = Path(__file__).with_name("bare")
VHD_BYTES = 16 * 1024 * 1024
"""Virtual size of a factory image. It does not affect the simulated duration of a copy."""


class BenchmarkError(Exception):
    """A command failed that must succeed. The message contains the end of its output."""


@dataclass(frozen=True)
class Timing:
    """One run of a command: wall time in seconds, the resources in the stack after it, and its processor time."""

    seconds: float
    resources: int
    processor: Mapping[str, float]
    """Seconds, user and system, by kind of process."""


@dataclass(frozen=True)
class Project:
    """A Pulumi project with one stack and its own file backend."""

    folder: Path
    environment: Mapping[str, str]
    parallel: int

    def up(self) -> Timing:
        """Run `pulumi up`, without a preview."""
        return self._run("up", "--yes", "--skip-preview")

    def preview(self) -> Timing:
        """Run `pulumi preview`. Raises BenchmarkError unless the stack is up to date."""
        return self._run("preview", "--expect-no-changes")

    def _run(self, *arguments: str) -> Timing:
        started = monotonic()
        processor = self.pulumi(*arguments, "--parallel", str(self.parallel))
        seconds = monotonic() - started
        (state,) = self.folder.glob(f"stacks/.pulumi/stacks/*/{STACK}.json")
        latest = json.loads(state.read_text(encoding="utf-8"))["checkpoint"]["latest"]
        return Timing(seconds, len(latest["resources"]), processor)

    def without_checkpoints(self) -> Project:
        """Return this project with an engine that writes the state only at the end."""
        return replace(self, environment={**self.environment, "PULUMI_SKIP_CHECKPOINTS": "true"})

    def pulumi(self, *arguments: str) -> dict[str, float]:
        """Run a pulumi command on the stack; return its processor time by kind of process. Raises BenchmarkError."""
        command = ["pulumi", *arguments, "--stack", STACK, "--non-interactive", "--color", "never"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with (
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as running,
            Processes(running.pid) as processes,
        ):
            output, _ = running.communicate()
        if running.returncode:
            raise BenchmarkError(f"{' '.join(command)}: exit code {running.returncode}\n{output[-3000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return processes.by_kind(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@dataclass(frozen=True)
class Factory:
    """A factory lab whose images every target lab should contain."""

    subscription: str
    images: int


class Sandbox:
    """An embedded cloud, with the factories, labs and projects that a benchmark creates."""

    def __init__(self, cloud: CloudClient, environment: Mapping[str, str], folder: Path) -> None:
        self.cloud, self.environment, self._folder = cloud, environment, folder
        self._names = count()

    def factory(self, images: int) -> Factory:
        """Create a factory with `images` images as the old scripts save them, each with its companion."""
        factory = Factory(str(uuid.uuid4()), images)
        self._seed_labs(factory, "factory")
        documents = [_image(factory, number) for number in range(images)]
        self.cloud.seed({"factoryImages": documents})
        return factory

    def product(self, factory: Factory, labs: int, parallel: int, **settings: object) -> tuple[Project, list[str]]:
        """Create a project for `labs` new, empty labs. Return it with the names of their storage accounts."""
        names = [f"lab{next(self._names)}" for _ in range(labs)]
        accounts = self._seed_labs(factory, *names)
        folder = self._project_folder()
        for name in PRODUCT:
            (folder / name).symlink_to(Checkout.here().root / name)
        golden = folder / "Configuration" / "GoldenImages" / "Bench"
        golden.mkdir(parents=True)
        for number in range(factory.images):
            (golden / f"Image{number}.json").write_text("{}", encoding="utf-8")
        wishes = [{"SubscriptionId": factory.subscription, "LabName": name, "ImagePaths": ["Bench"]} for name in names]
        (golden.parents[1] / "labs.json").write_text(json.dumps({"Labs": wishes}), encoding="utf-8")
        fixed = {"cloud": "custom", "factory": {"subscriptionId": factory.subscription, "labName": "factory"}}
        return self._project(folder, "imagefactory", {**fixed, **settings}, parallel), accounts

    def bare(self, labs: int, images_per_lab: int, parallel: int, *, lean: bool = False) -> Project:
        """Create the project for comparison."""
        folder = self._project_folder()
        shutil.copytree(BARE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / ".venv").symlink_to(Checkout.here().venv)
        return self._project(folder, "bare", {"labs": labs, "imagesPerLab": images_per_lab, "lean": lean}, parallel)

    def accounts(self) -> dict[str, dict[str, Any]]:
        """Return the cloud's storage accounts by name."""
        return {each["name"]: each for each in self.cloud.status()["storageAccounts"]}

    def connection(self, account: str) -> tuple[str, dict[str, str]]:
        """Return the endpoint and the credential of a storage account, for a `BlobServiceClient`."""
        facts = self.accounts()[account]
        return facts["blobEndpoint"], {"account_name": account, "account_key": facts["key"]}

    def _project_folder(self) -> Path:
        folder = self._folder / f"project{next(self._names)}"
        (folder / "stacks").mkdir(parents=True)
        return folder

    def _project(self, folder: Path, namespace: str, settings: Mapping[str, object], parallel: int) -> Project:
        config = {f"{namespace}:{name}": value for name, value in settings.items()}
        # YAML reads JSON.
        (folder / f"Pulumi.{STACK}.yaml").write_text(json.dumps({"config": config}), encoding="utf-8")
        project = Project(folder, {**self.environment, "PULUMI_BACKEND_URL": f"file://{folder}/stacks"}, parallel)
        project.pulumi("stack", "init")
        return project

    def _seed_labs(self, factory: Factory, *names: str) -> list[str]:
        accounts = [f"bench{next(self._names)}" for _ in names]
        labs = [
            {"name": name, "resourceGroup": "bench", "region": "westeurope", "storageAccount": account}
            for name, account in zip(names, accounts, strict=True)
        ]
        self.cloud.seed({"subscriptions": [{"subscriptionId": factory.subscription, "labs": labs}]})
        return accounts


def _image(factory: Factory, number: int) -> dict[str, Any]:
    vhd = f"{uuid.uuid4()}.vhd"
    companion = {
        "imageName": f"Bench_Image{number}-Jun-5-2026",
        "imagePath": f"Bench\\Image{number}.json",
        "description": f"Image {number} of a benchmark",
        "osType": "Windows",
        "vhdFileName": vhd,
        "timestamp": "2026-06-05 10:11:12",
    }
    return {
        "subscriptionId": factory.subscription,
        "lab": "factory",
        "vhd": vhd,
        "sizeBytes": VHD_BYTES,
        "companion": companion,
        "companionEncoding": "utf-16",
    }


@contextmanager
def open_sandbox() -> Iterator[Sandbox]:
    """Start an empty embedded cloud. Stop it and delete it and all projects at the end."""
    checkout = Checkout.here()
    engine = set_up(checkout)
    with tempfile.TemporaryDirectory(prefix="imagefactory-bench-") as name:
        state = Path(name, "cloud")
        cloud = [sys.executable, "-m", "localcloud"]
        environment = {**os.environ, **emulator_variables(checkout)}
        subprocess.run([*cloud, "start", "--state", state], check=True, env=environment, cwd=checkout.root)
        try:
            client = CloudClient(state)
            variables = {**tool_variables(checkout, engine), **cloud_variables(client.status())}
            yield Sandbox(client, {**os.environ, **variables}, Path(name))
        finally:
            subprocess.run([*cloud, "stop", "--state", state], check=True, cwd=checkout.root)
