"""An embedded cloud of its own, in a temporary folder, for one run of a tool."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.client import CloudClient
from toolchain.checkout import Checkout
from toolchain.cloud import emulator_variables
from toolchain.errors import SetupError


@dataclass(frozen=True)
class PrivateCloud:
    """A running cloud."""

    client: CloudClient


@contextmanager
def private_cloud(checkout: Checkout, seed: Mapping[str, Any]) -> Iterator[PrivateCloud]:
    """Start a cloud with a seed document; stop it and remove its folder at the end. Raises SetupError."""
    with tempfile.TemporaryDirectory(prefix="imagefactory-cloud-") as folder:
        state, document = Path(folder, "state"), Path(folder, "seed.json")
        document.write_text(json.dumps(seed), encoding="utf-8")
        environment = {**os.environ, **emulator_variables(checkout)}

        def control(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
            run = [str(checkout.python), "-m", "localcloud", command, "--state", str(state), *arguments]
            # A session of its own: Ctrl-C in the terminal must not stop the cloud while this run cleans up.
            return subprocess.run(
                run,
                cwd=checkout.root,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                start_new_session=True,
            )

        try:
            if (started := control("start", "--seed", str(document))).returncode:
                fact = f"failed to start (exit code {started.returncode}): {started.stderr.strip()[-500:]}"
                raise SetupError("Embedded cloud", fact, "See its message for the cause")
            yield PrivateCloud(CloudClient(state))
        finally:
            control("stop")
