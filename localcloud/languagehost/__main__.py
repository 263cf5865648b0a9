"""Entry point: `python <checkout>/localcloud/languagehost ENGINE_ADDRESS`, started by the engine.

Owns the import path and nothing else. The engine starts a host for every command, so start-up time counts: only the
SDK's message modules are loaded (0.2 s), not the SDK (0.6 s); the program's own process loads that.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path


def load_messages_without_sdk() -> None:
    """Make `pulumi.runtime.proto.*` importable without the packages above it. ImportError if there is no SDK."""
    spec = importlib.util.find_spec("pulumi")
    if spec is None or spec.origin is None:
        raise ImportError("the Pulumi SDK is not installed in this environment")
    folder = Path(spec.origin).parent
    for name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package


if __name__ == "__main__":
    # In place of this file's own folder, which Python put there.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    try:
        load_messages_without_sdk()
        from localcloud.languagehost.server import serve
    except ImportError as error:
        sys.exit(
            f"language host: {error}; programs cannot run. Set the environment up again: delete .venv, then "
            "`python3 dev.py setup`"
        )
    serve(sys.argv[-1])
