"""Steps of the pipelines in a world: the scripts of their YAML files, run as an agent runs them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.e2e.new_stack import ensure_stack
from tests.e2e.world import ROOT, World
from tests.warm.python import use_environment, warm_engine

STACK = "dev"
"""The stack of the pipelines' files."""


def start_step(world: World, text: str, **variables: str) -> subprocess.Popen[str]:
    """Start a script in the project of the world, for its stack, in a process group of its own."""
    world.write_configuration()
    ensure_stack(world.folder, world.stack, world.environment)
    use_environment(world.folder / ".venv", world.python)
    if not (world.folder / "pipelines").exists():
        (world.folder / "pipelines").symlink_to(ROOT / "pipelines")
    (world.folder / "temp").mkdir(exist_ok=True)
    program = world.folder / "bin" / "imagefactory"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {world.python} -c "from imagefactory.cli.main import main; main()" "$@"\n')
    program.chmod(0o755)
    environment = warm_engine(world.environment, world.python)
    return subprocess.Popen(
        ["bash", "-c", text],
        cwd=world.folder,
        env={
            **environment,
            "PATH": os.pathsep.join((str(program.parent), f"{world.folder}/.venv/bin", environment["PATH"])),
            "STACK": world.stack,
            "AGENT_TEMPDIRECTORY": str(world.folder / "temp"),
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def run_step(world: World, text: str, **variables: str) -> tuple[int, str]:
    """Run a script; return its exit code and output."""
    process = start_step(world, text, **variables)
    output, _ = process.communicate(timeout=110)
    return process.returncode, output


def locks(world: World) -> list[Path]:
    """Return the locks in the backend of the world."""
    return list((world.folder / "stacks" / ".pulumi" / "locks").rglob("*.json"))
