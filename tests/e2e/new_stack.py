"""New stacks in the file backend: `pulumi stack init` runs once in each test process, then what it wrote is written."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.warm.vault import PROVIDER
from toolchain.shell import WITH_CHECKPOINTS, WITHOUT_CHECKPOINTS
from toolchain.shell import file_backend as file_backend

CHECKPOINTS: dict[bool, dict[str, str]] = {True: WITH_CHECKPOINTS, False: WITHOUT_CHECKPOINTS}
"""Whether the engine writes the state before and after each step, or once, at its end."""
_FILES: dict[str, dict[Path, bytes]] = {}
_LINES: dict[str, dict[str, object]] = {}
"""What `pulumi stack init` wrote for each stack: files below the backend's folder, and lines in the stack's file."""


def ensure_stack(folder: Path, stack: str, environment: Mapping[str, str]) -> None:
    """Make the stack in `stacks` of a project folder that has the stack's file, unless it is there."""
    stacks, file = folder / "stacks", folder / f"Pulumi.{stack}.yaml"
    if any(stacks.rglob(f"{stack}.json")):
        return
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    if stack in _FILES:
        for path, content in _FILES[stack].items():
            (stacks / path).parent.mkdir(parents=True, exist_ok=True)
            (stacks / path).write_bytes(content)
        file.write_text(yaml.safe_dump({**document, **_LINES[stack]}), encoding="utf-8")
        return
    others = set(stacks.rglob("*"))
    init = ["pulumi", "stack", "init", stack, "--no-select", f"--secrets-provider={PROVIDER}"]
    subprocess.run(init, cwd=folder, env=environment, check=True, capture_output=True)
    files = (path for path in stacks.rglob("*") if path.is_file() and path not in others)
    _FILES[stack] = {path.relative_to(stacks): path.read_bytes() for path in files}
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    _LINES[stack] = {name: value for name, value in written.items() if name not in document}
