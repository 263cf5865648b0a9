"""Installs the stand-in plugin where the engine looks for azure-native. Standard library only.

Writes only `plugins/resource-azure-native-v<version>` of a private PULUMI_HOME. Does not change the user's own
PULUMI_HOME or replace a genuine plugin.
"""

from __future__ import annotations

import shlex
from pathlib import Path

_BINARY = "pulumi-resource-azure-native"
_MARK = "# The stand-in azure-native plugin of the embedded cloud."
_CHECKOUT = Path(__file__).resolve().parents[2]


def install(pulumi_home: Path, python: Path, version: str) -> Path:
    """Install the plugin as `version` (`3.29.0`), run by `python`, which has the project's dependencies.

    Returns the plugin's folder. Repeated calls change nothing, unless interpreter or checkout moved.
    """
    folder = pulumi_home / "plugins" / f"resource-azure-native-v{version}"
    binary = folder / _BINARY
    # -I ignores the program's folder and PYTHONPATH, so no module there replaces one of the plugin.
    code = f"import sys; sys.path.append({str(_CHECKOUT)!r}); from localcloud.azure_native.__main__ import main; main()"
    script = (
        f"#!/bin/sh\n{_MARK}\n"
        f'exec {shlex.quote(str(python))} -I -c {shlex.quote(code)} --plugin-version {shlex.quote(version)} "$@"\n'
    )
    if binary.exists():
        present = binary.read_bytes()
        if present == script.encode() or _MARK.encode() not in present[:200]:
            return folder
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{_BINARY}.part"
    temporary.write_text(script, encoding="utf-8")
    temporary.chmod(0o755)
    temporary.replace(binary)
    return folder
