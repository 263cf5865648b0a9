"""The embedded cloud as dev.py sees it: a daemon run by the project's Python, with the installed Node.js and Azurite.

Owns its start and stop from outside (`python -m localcloud ...`); the daemon owns everything else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from localcloud.client import CloudClient, CloudError
from toolchain.checkout import Checkout
from toolchain.faults import SetupFault
from toolchain.processes import run_in_foreground
from toolchain.setup.node import ensure_azurite, find_node


def emulator_variables(checkout: Checkout) -> dict[str, str]:
    """What the daemon's environment names: Node.js and Azurite, installed if they are not there."""
    node = find_node(checkout)
    return {"LOCALCLOUD_NODE": str(node.binary), "LOCALCLOUD_AZURITE": str(ensure_azurite(checkout, node))}


def run_cloud(checkout: Checkout, verb: str, arguments: Sequence[str | Path] = ()) -> int:
    """Run `python -m localcloud <verb>` on this checkout's cloud; its exit code. Needs the environment."""
    env = {**os.environ, **(emulator_variables(checkout) if verb == "start" else {})}
    return run_in_foreground(
        [checkout.python, "-m", "localcloud", verb, "--state", checkout.cloud_state, *arguments],
        cwd=checkout.root,
        env=env,
    )


def start_cloud(checkout: Checkout, seed: Path | None = None) -> dict[str, object]:
    """Start the daemon if it does not run, bring the seed in, and return its status. Raises SetupFault if it fails.

    Without a seed, a cloud that never had one gets the default; what was deleted from it by hand later stays deleted.
    """
    seeded = checkout.cloud_state / "seeded"
    if seed is None and not seeded.exists():
        seed = checkout.default_seed
    if seed is not None and not seed.is_file():
        raise SetupFault(str(seed), "there is no such file, so the embedded cloud was not started", "Name a seed file")
    if code := run_cloud(checkout, "start", ["--seed", seed.resolve()] if seed else []):
        raise SetupFault(
            "Embedded cloud", f"it did not start (exit code {code})", "Its own message above says why; mend that"
        )
    if seed is not None:
        seeded.touch()
    status = cloud_status(checkout)
    if status is None:
        raise SetupFault("Embedded cloud", "it started and does not answer", "Stop it (`dev.py cloud stop`), try again")
    return status


def cloud_status(checkout: Checkout) -> dict[str, object] | None:
    """The status document of the running daemon; None if it does not run."""
    try:
        return CloudClient(checkout.cloud_state).status()
    except CloudError:
        return None
