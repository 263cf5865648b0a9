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
from localcloud.azure_native.install import install
from localcloud.client import CloudClient
from toolchain.checkout import Checkout
from toolchain.cloud import emulator_variables
from toolchain.setup.environment import locked_version
from toolchain.shell import WITH_CHECKPOINTS, WITHOUT_CHECKPOINTS, cloud_variables, file_backend, tool_variables
from toolchain.stack import set_up

STACK = "bench"
PRODUCT = ("Pulumi.yaml", "__main__.py", "components", "imagefactory", "providers/__init__.py")
PLUGIN = "providers/vhdcopy"
"""Looks for its environment two folders above its own: file by file, so that it finds that of the project."""
ENVIRONMENT = Path(sys.executable).parents[1]
"""Of programs and plugins: that of this process. The cloud, and a process of its own that is measured, have the
checkout's."""
BARE = Path(__file__).with_name("bare")
LABS = "Configuration/labs.json"
GOLDEN = "Configuration/GoldenImages/Bench"
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
    peaks_mib: Mapping[str, list[float]]
    """The largest resident memory of each process, by kind."""
    together_mib: float
    """The largest sum at one time of the memory that the processes do not share."""
    state_bytes: int


@dataclass(frozen=True)
class Project:
    """A Pulumi project with one stack and its own file backend."""

    folder: Path
    environment: Mapping[str, str]
    parallel: int
    stack: str = STACK

    def up(self) -> Timing:
        """Run `pulumi up`, without a preview."""
        return self._run("up", "--yes", "--skip-preview")

    def refresh(self) -> Timing:
        """Run `pulumi refresh`. Raises BenchmarkError if Azure has something else than the state."""
        return self._run("refresh", "--yes", "--skip-preview", "--expect-no-changes")

    def preview(self) -> Timing:
        """Run `pulumi preview`. Raises BenchmarkError unless the stack is up to date."""
        return self._run("preview", "--expect-no-changes")

    def _run(self, *arguments: str) -> Timing:
        started = monotonic()
        processor, processes = self._pulumi(*arguments, "--parallel", str(self.parallel))
        seconds = monotonic() - started
        (state,) = self.folder.glob(f"stacks/.pulumi/stacks/*/{self.stack}.json")
        text = state.read_bytes()
        resources = len(json.loads(text)["checkpoint"]["latest"]["resources"])
        return Timing(seconds, resources, processor, processes.peaks_mib(), processes.together_mib, len(text))

    def without_checkpoints(self) -> Project:
        """Return this project with an engine that writes the state only at the end."""
        return replace(self, environment={**self.environment, **WITHOUT_CHECKPOINTS})

    def configure(self, config: Mapping[str, object]) -> None:
        """Write the stack's file and create the stack."""
        # YAML reads JSON.
        (self.folder / f"Pulumi.{self.stack}.yaml").write_text(json.dumps({"config": config}), encoding="utf-8")
        self.pulumi("stack", "init")

    def pulumi(self, *arguments: str) -> dict[str, float]:
        """Run a pulumi command on the stack; return its processor time by kind of process. Raises BenchmarkError."""
        return self._pulumi(*arguments)[0]

    def _pulumi(self, *arguments: str) -> tuple[dict[str, float], Processes]:
        command = ["pulumi", *arguments, "--stack", self.stack, "--non-interactive", "--color", "never"]
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
        return processes.by_kind(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), processes


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
        self._seed_labs(factory.subscription, "factory")
        documents = [_image(factory, number) for number in range(images)]
        self.cloud.seed({"factoryImages": documents})
        return factory

    def product(self, factory: Factory, labs: int, parallel: int, **settings: object) -> tuple[Project, list[str]]:
        """Create a project for `labs` new, empty labs. Return it with the names of their storage accounts."""
        folder, accounts = self._product_folder(factory, [factory.subscription] * labs)
        return self._project(folder, "imagefactory", {**_fixed(factory), **settings}, parallel), accounts

    def divided(
        self, factory: Factory, labs: int, subscriptions: int, stacks: int, parallel: int, **settings: object
    ) -> list[Project]:
        """Create a project whose stacks divide `labs` new, empty labs by the subscriptions that they are in."""
        places = [str(uuid.uuid4()) for _ in range(subscriptions)]
        folder, _ = self._product_folder(factory, [places[number * subscriptions // labs] for number in range(labs)])
        found = []
        for number in range(stacks):
            matching = {"labsMatching": {"subscriptions": places[number::stacks]}} if stacks > 1 else {}
            given = {**_fixed(factory), **settings, **matching}
            found.append(self._project(folder, "imagefactory", given, parallel, f"{STACK}{number}"))
        return found

    def add_image(self, factory: Factory, project: Project) -> None:
        """Add a golden image to a project, and its first image to the factory."""
        (project.folder / GOLDEN / f"Image{factory.images}.json").write_text("{}", encoding="utf-8")
        self.cloud.seed({"factoryImages": [_image(factory, factory.images)]})

    def _product_folder(self, factory: Factory, places: list[str]) -> tuple[Path, list[str]]:
        """Create the files of the product, with a new lab in each of the subscriptions `places`."""
        names = [f"lab{next(self._names)}" for _ in places]
        accounts = [
            account for place, name in zip(places, names, strict=True) for account in self._seed_labs(place, name)
        ]
        folder = self._project_folder()
        root = Checkout.here().root
        (folder / PLUGIN).mkdir(parents=True)
        for name in (*PRODUCT, *(f"{PLUGIN}/{file.name}" for file in (root / PLUGIN).iterdir())):
            (folder / name).symlink_to(root / name)
        golden = folder / GOLDEN
        golden.mkdir(parents=True)
        for number in range(factory.images):
            (golden / f"Image{number}.json").write_text("{}", encoding="utf-8")
        labs = zip(places, names, strict=True)
        wishes = [{"SubscriptionId": place, "LabName": name, "ImagePaths": ["Bench"]} for place, name in labs]
        (folder / LABS).write_text(json.dumps({"Labs": wishes}), encoding="utf-8")
        return folder, accounts

    def bare(self, labs: int, images_per_lab: int, parallel: int, *, lean: bool = False) -> Project:
        """Create the project for comparison."""
        folder = self._project_folder()
        shutil.copytree(BARE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
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
        (folder / ".venv").symlink_to(ENVIRONMENT)
        return folder

    def _project(
        self, folder: Path, namespace: str, settings: Mapping[str, object], parallel: int, stack: str = STACK
    ) -> Project:
        # The shell may be without, as that of `dev.py env` is.
        environment = {**self.environment, **WITH_CHECKPOINTS, "PULUMI_BACKEND_URL": file_backend(folder / "stacks")}
        project = Project(folder, environment, parallel, stack)
        project.configure({f"{namespace}:{name}": value for name, value in settings.items()})
        return project

    def _seed_labs(self, subscription: str, *names: str) -> list[str]:
        accounts = [f"bench{next(self._names)}" for _ in names]
        labs = [
            {"name": name, "resourceGroup": "bench", "region": "westeurope", "storageAccount": account}
            for name, account in zip(names, accounts, strict=True)
        ]
        self.cloud.seed({"subscriptions": [{"subscriptionId": subscription, "labs": labs}]})
        return accounts


def _fixed(factory: Factory) -> dict[str, object]:
    return {"cloud": "custom", "factory": {"subscriptionId": factory.subscription, "labName": "factory"}}


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
        cloud: list[str | Path] = [checkout.python, "-m", "localcloud"]
        environment = {**os.environ, **emulator_variables(checkout)}
        subprocess.run([*cloud, "start", "--state", state], check=True, env=environment, cwd=checkout.root)
        try:
            client = CloudClient(state)
            home = Path(name, "home")
            install(home, Path(sys.executable), locked_version(checkout, "pulumi-azure-native"))
            variables = {**tool_variables(checkout, engine), **cloud_variables(client.status())}
            yield Sandbox(client, {**os.environ, **variables, "PULUMI_HOME": str(home)}, Path(name))
        finally:
            subprocess.run([*cloud, "stop", "--state", state], check=True, cwd=checkout.root)
