"""Where benchmarks run: an embedded cloud of their own, factories and labs in it, throw-away Pulumi projects.

Owns set-up and removal. It measures nothing but the time of a command.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

from localcloud.client import CloudClient
from toolchain.checkout import Checkout
from toolchain.cloud import emulator_variables
from toolchain.shell import cloud_variables, tool_variables
from toolchain.stack import set_up

STACK = "bench"
PRODUCT = ("Pulumi.yaml", "__main__.py", ".venv", "components", "imagefactory", "providers")
BARE = Path(__file__).with_name("bare")
VHD_BYTES = 16 * 1024 * 1024
"""Virtual size of a factory image. Copies on the embedded cloud take the time that they are told, whatever the size."""


class BenchmarkError(Exception):
    """A command that must succeed did not; the text holds the end of its output."""


@dataclass(frozen=True)
class Timing:
    """One run of a command: wall time in seconds, and the resources that the stack holds after it."""

    seconds: float
    resources: int


@dataclass(frozen=True)
class Project:
    """A Pulumi project with one stack, on a file backend of its own."""

    folder: Path
    environment: Mapping[str, str]
    parallel: int

    def up(self) -> Timing:
        """`pulumi up`, without the preview before it."""
        return self._run("up", "--yes", "--skip-preview")

    def preview(self) -> Timing:
        """`pulumi preview` of a stack that is up to date. Raises BenchmarkError where it is not."""
        return self._run("preview", "--expect-no-changes")

    def _run(self, *arguments: str) -> Timing:
        began = monotonic()
        self.pulumi(*arguments, "--parallel", str(self.parallel))
        seconds = monotonic() - began
        (state,) = self.folder.glob(f"stacks/.pulumi/stacks/*/{STACK}.json")
        latest = json.loads(state.read_text(encoding="utf-8"))["checkpoint"]["latest"]
        return Timing(seconds, len(latest["resources"]))

    def pulumi(self, *arguments: str) -> None:
        """A pulumi command on the stack. Raises BenchmarkError."""
        command = ["pulumi", *arguments, "--stack", STACK, "--non-interactive", "--color", "never"]
        ended = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise BenchmarkError(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stdout[-3000:]}")


@dataclass(frozen=True)
class Factory:
    """A factory lab with images; every target lab is to hold all of them."""

    subscription: str
    images: int


class Stage:
    """An embedded cloud, and what is put into it."""

    def __init__(self, cloud: CloudClient, environment: Mapping[str, str], folder: Path) -> None:
        self.cloud, self.environment, self._folder = cloud, environment, folder
        self._names = count()

    def factory(self, images: int) -> Factory:
        """A factory with `images` images, saved as the old scripts did: each with its companion document."""
        factory = Factory(str(uuid.uuid4()), images)
        self._seed_labs(factory, "factory")
        documents = [_image(factory, number) for number in range(images)]
        self.cloud.seed({"factoryImages": documents})
        return factory

    def product(self, factory: Factory, labs: int, parallel: int, **settings: object) -> tuple[Project, list[str]]:
        """A project that is to fill `labs` new, empty labs; and the names of their storage accounts."""
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

    def bare(self, labs: int, images_per_lab: int, parallel: int) -> Project:
        """The project to measure by."""
        folder = self._project_folder()
        shutil.copytree(BARE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / ".venv").symlink_to(Checkout.here().venv)
        return self._project(folder, "bare", {"labs": labs, "imagesPerLab": images_per_lab}, parallel)

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
def open_stage() -> Iterator[Stage]:
    """An embedded cloud with nothing in it; it and every project are gone afterwards."""
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
            yield Stage(client, {**os.environ, **variables}, Path(name))
        finally:
            subprocess.run([*cloud, "stop", "--state", state], check=True, cwd=checkout.root)
