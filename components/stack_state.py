"""Reads the stack's own state: the resources of each image, by resource name.

The program imports only images that are not in the state: an import option whose id differs from the id in the state,
even in case, makes the engine delete the existing image (docs/adr/0009). It declares kept images with the inputs that
the state has (docs/adr/0015). A program cannot read its state through the engine, so this module runs the CLI.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from imagefactory.plain_text import printable, redacted

COPY, CUSTOM_IMAGE, RELEASE = (
    "vhdcopy:index:VhdCopy",
    "azure-native:devtestlab:CustomImage",
    "vhdcopy:index:StagedVhdRelease",
)


@dataclass(frozen=True)
class StackState:
    """The inputs of the resources of each image: resource name (`<label>/<image>`) -> type -> inputs."""

    chains: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def images(self) -> frozenset[str]:
        """Names of the chains with a custom image, finished or not."""
        return frozenset(name for name, chain in self.chains.items() if CUSTOM_IMAGE in chain)

    @property
    def done(self) -> dict[str, str]:
        """File name of the factory's VHD by name of each chain that has all its resources."""
        whole = ((name, chain) for name, chain in self.chains.items() if chain.keys() >= {COPY, CUSTOM_IMAGE, RELEASE})
        return {name: str(chain[COPY].get("sourceUrl")).rpartition("/")[2] for name, chain in whole}

    def of_lab(self, label: str) -> list[str]:
        """Return the names of the images of a lab, without its label."""
        return sorted(name.rpartition("/")[2] for name in self.chains if name.startswith(f"{label}/"))

    @staticmethod
    def of(resources: Iterable[Mapping[str, Any]]) -> StackState:
        """Return the state from the resources that `pulumi stack export` prints (`deployment.resources`)."""
        chains: dict[str, dict[str, Mapping[str, Any]]] = {}
        for resource in resources:
            if resource["type"] in {COPY, CUSTOM_IMAGE, RELEASE} and not resource.get("delete"):
                name = str(resource["urn"]).rpartition("::")[2]
                chains.setdefault(name, {})[resource["type"]] = resource.get("inputs") or {}
        return StackState(chains)


async def read_stack_state() -> StackState:
    """Return the state of the current stack. Raises `pulumi.RunError`."""
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        process = await asyncio.create_subprocess_exec(
            *("pulumi", "stack", "export", "--stack", stack, "--non-interactive"),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
    except FileNotFoundError:
        raise _unread("the pulumi command is not on the PATH. Add it, then run again") from None
    if process.returncode:
        reason = errors.decode(errors="replace").strip().partition("\n")[0]
        raise _unread(f"{reason.removeprefix('error: ')}. Fix that, then run again")
    deployment = json.loads(output).get("deployment") or {}  # missing for a stack that never ran
    return StackState.of(deployment.get("resources") or [])


def _unread(reason: str) -> pulumi.RunError:
    fact = "state: cannot read which images the stack contains; nothing is declared or deleted"
    return pulumi.RunError(printable(f"{fact}: {redacted(reason)}"))
