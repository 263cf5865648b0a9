"""Starts, stops and queries the embedded cloud, a daemon that needs the project's environment, Node.js and Azurite.

Runs `python -m localcloud ...`; everything else is in the daemon.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from localcloud.client import CloudClient, CloudError
from toolchain.checkout import Checkout
from toolchain.errors import SetupError
from toolchain.processes import run_in_foreground
from toolchain.setup.node import ensure_azurite, find_node


def emulator_variables(checkout: Checkout) -> dict[str, str]:
    """Return the daemon's variables for Node.js and Azurite; install both if they are missing."""
    node = find_node(checkout)
    return {"LOCALCLOUD_NODE": str(node.binary), "LOCALCLOUD_AZURITE": str(ensure_azurite(checkout, node))}


def run_cloud(checkout: Checkout, command: str, arguments: Sequence[str | Path] = ()) -> int:
    """Run `python -m localcloud <command>` on this checkout's cloud and return its exit code. Needs the environment."""
    env = {**os.environ, **(emulator_variables(checkout) if command == "start" else {})}
    return run_in_foreground(
        [checkout.python, "-m", "localcloud", command, "--state", checkout.cloud_state, *arguments],
        cwd=checkout.root,
        env=env,
    )


def start_cloud(checkout: Checkout, seed: Path | None = None) -> dict[str, object]:
    """Start the daemon if it is not running, load the seed and return its status. Raises SetupError.

    Without `seed`, only the first start loads a seed, the default, so that manual deletions are kept.
    """
    seeded = checkout.cloud_state / "seeded"
    if seed is None and not seeded.exists():
        seed = checkout.default_seed
    if seed is not None and not seed.is_file():
        raise SetupError(str(seed), "not found; the embedded cloud was not started", "Pass an existing seed file")
    if code := run_cloud(checkout, "start", ["--seed", seed.resolve()] if seed else []):
        raise SetupError("Embedded cloud", f"failed to start (exit code {code})", "See its message above for the cause")
    if seed is not None:
        seeded.touch()
    status = cloud_status(checkout)
    if status is None:
        raise SetupError("Embedded cloud", "does not respond", "Run `python3 dev.py cloud stop`, then try again")
    return status


def cloud_status(checkout: Checkout) -> dict[str, object] | None:
    """Return the daemon's status document; None if it is not running."""
    try:
        return CloudClient(checkout.cloud_state).status()
    except CloudError:
        return None
