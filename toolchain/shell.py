"""Environment variables with which `pulumi ... -s local` and `imagefactory` work in a shell.

Defines their names and values, and formats them for each shell.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from toolchain.checkout import Checkout
from toolchain.setup.engine import Engine

SHELLS = ("posix", "powershell", "json")
COMPILED_ONCE = {"PYTHONDONTWRITEBYTECODE": ""}
"""Setup leaves compiling to the first import, which images of containers often forbid: then each start compiles all."""

WITHOUT_CHECKPOINTS, WITH_CHECKPOINTS = {"PULUMI_SKIP_CHECKPOINTS": "true"}, {"PULUMI_SKIP_CHECKPOINTS": "false"}
"""The engine writes the state once, at its end, or twice per resource; `imagefactory adopt` makes up for a kill."""


def file_backend(folder: Path) -> str:
    """Return the URL of a backend in a folder, for PULUMI_BACKEND_URL. Pulumi writes no `.attrs` file beside a state.

    It writes that file in place, so a kill can leave it empty, and then cannot read the state (`failed to load
    checkpoint: EOF`, seen with 3.274). gocloud.dev/blob/fileblob replaces the state itself atomically.
    """
    return f"file://{folder}?metadata=skip"


def tool_variables(checkout: Checkout, engine: Engine, path: str | None = None) -> dict[str, str]:
    """Return the variables of engine and environment, without the embedded cloud. `path` defaults to PATH."""
    path = os.environ.get("PATH", os.defpath) if path is None else path
    front = [str(checkout.venv / "bin"), str(engine.bin)]
    return {
        "PATH": os.pathsep.join(front + [folder for folder in path.split(os.pathsep) if folder not in front]),
        **COMPILED_ONCE,
        "PULUMI_HOME": str(checkout.pulumi_home),
        "PULUMI_BACKEND_URL": file_backend(checkout.stacks),
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Otherwise the engine offers its vendor's online assistant after each failure.
        "PULUMI_SUPPRESS_NEO_LINK": "true",
        # All plugins of the local stack are in PULUMI_HOME: report a missing one instead of downloading it.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }


def cloud_variables(status: Mapping[str, object]) -> dict[str, str]:
    """Return the variables of a running embedded cloud, endpoints and identity, from its status."""
    blob = urlsplit(str(status["blobEndpoint"]))
    return {
        "IMAGEFACTORY_RESOURCE_MANAGER": str(status["resourceManager"]),
        "IMAGEFACTORY_BLOB_ENDPOINT": f"{blob.scheme}://{blob.netloc}/{{account}}",
        "ARM_USE_MSI": "true",
        "IDENTITY_ENDPOINT": str(status["identityEndpoint"]),
        "IDENTITY_HEADER": str(status["identityHeader"]),
    }


def render(variables: Mapping[str, str], shell: str) -> str:
    """Return the commands that set the variables in `shell` (one of SHELLS), or a JSON object."""
    if shell == "json":
        return json.dumps(variables, indent=2)
    if shell == "powershell":
        return "\n".join("$env:{} = '{}'".format(name, value.replace("'", "''")) for name, value in variables.items())
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
