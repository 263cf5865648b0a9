"""A private embedded cloud for the tests of the contract: its place, and the command against it as against Azure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contract.bench import Bench
from contract.embedded import LAB, SUBSCRIPTION
from contract.leftovers import Found, find
from contract.place import Place
from contract.registry import EXPERIMENTS, Experiment
from contract.wire import Wire
from toolchain.checkout import Checkout
from toolchain.private_cloud import PrivateCloud
from toolchain.shell import cloud_variables

CONTRACT = [sys.executable, "-m", "contract"]
AZURE = [*CONTRACT, "--azure", "--stack", "spare", "--lab", LAB]
CONFIRMED = [*AZURE, "--confirm-lab", LAB, "--yes"]


class Spare:
    """The place of all tests of a module."""

    def __init__(self, place: Place, wire: Wire, cloud: PrivateCloud) -> None:
        self.place, self.wire, self.cloud = place, wire, cloud

    def found(self) -> Found:
        """Return what is in the lab and its account."""
        return find(Bench(self.place, self.wire, "00000000"))

    def writes(self) -> list[str]:
        """Return the calls since the journal was cleared that could change something."""
        calls = self.cloud.client.calls()
        return [f"{each['method']} {each['path']}" for each in calls if each["method"] not in ("GET", "HEAD")]

    def environment(self) -> dict[str, str]:
        """Return the variables with which a command signs in, as on Azure."""
        return {**os.environ, **cloud_variables(self.cloud.client.status()), "PYTHONPATH": str(Checkout.here().root)}

    def stack(self, folder: Path, factory: str = "factory") -> Path:
        """Write a stack file that names this cloud; return its folder."""
        config = {"cloud": "custom", "factory": {"subscriptionId": SUBSCRIPTION, "labName": factory}}
        document = {"config": {f"imagefactory:{name}": value for name, value in config.items()}}
        (folder / "Pulumi.spare.yaml").write_text(json.dumps(document), encoding="utf-8")
        return folder

    def run(self, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command without a terminal."""
        return subprocess.run(
            command,
            cwd=folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def chosen(*parts: str) -> Iterable[Experiment]:
    """Return the experiments with one of these texts in their name."""
    return [each for each in EXPERIMENTS.values() if any(part in each.name for part in parts)]


def places(report: dict[str, Any]) -> set[tuple[str, str]]:
    """Return where a report differs: observation and place in it."""
    return {(each["observation"], each["where"]) for each in report["differences"]}
