"""Imports the SDK's message modules alone, so that processes that only speak gRPC start without the complete SDK.

Standard library only.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path


def load_messages_without_sdk() -> None:
    """Make `pulumi.runtime.proto.*` importable without its parent packages. Raises ImportError without the SDK."""
    spec = importlib.util.find_spec("pulumi")
    if spec is None or spec.origin is None:
        raise ImportError("the Pulumi SDK is not installed in this environment")
    folder = Path(spec.origin).parent
    for name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
