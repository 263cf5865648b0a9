"""The commands `up` and `down`: update the local stack from finished VMs to a table of images, and destroy it.

Prints the engine's output unchanged and returns its exit code.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from localcloud.azure_native.install import install
from toolchain.checkout import STACK, Checkout
from toolchain.cloud import run_cloud, start_cloud
from toolchain.processes import run_in_foreground, run_quietly
from toolchain.progress import Step, say
from toolchain.setup.engine import Engine, ensure_engine
from toolchain.setup.environment import ensure_environment, locked_version
from toolchain.shell import cloud_variables, tool_variables

PARALLEL = "64"
"""Concurrent operations of the engine: they wait for the storage service, not for this machine."""


def set_up(checkout: Checkout, *, development: bool = False) -> Engine:
    """Set up environment and engine, and the plugins in this checkout's PULUMI_HOME. Raises SetupError."""
    ensure_environment(checkout, development=development)
    engine = ensure_engine(checkout)
    checkout.stacks.mkdir(parents=True, exist_ok=True)
    install(checkout.pulumi_home, checkout.python, locked_version(checkout, "pulumi-azure-native"))
    return engine


def up(checkout: Checkout) -> int:
    """Save the factory's VMs and update the local stack, on the embedded cloud. Return the engine's exit code."""
    engine = set_up(checkout)
    status = start_cloud(checkout)
    env = {**os.environ, **tool_variables(checkout, engine), **cloud_variables(status)}
    if stack_file(checkout) is None:
        with Step("Create the stack") as step:
            run_quietly(
                step,
                [engine.bin / "pulumi", "stack", "init", STACK, "--non-interactive"],
                cwd=checkout.root,
                env=env,
                remedy=f"Delete {checkout.stacks} if you do not need its stacks, then run the same command again",
            )
    if run_in_foreground(
        [checkout.venv / "bin" / "imagefactory", "save", "--stack", STACK], cwd=checkout.root, env=env
    ):
        say("Not all VMs of the factory lab were saved; the saved ones are distributed.")
    common = ["--stack", STACK, "--parallel", PARALLEL, "--suppress-permalink=true", "--suppress-outputs"]
    if run_in_foreground([engine.bin / "pulumi", "preview", *common], cwd=checkout.root, env=env):
        say("The preview reported errors (see above); labs and images without errors are updated.")
    # With its own preview, `up` stops before it updates any lab.
    code = run_in_foreground(
        [engine.bin / "pulumi", "up", "--yes", "--skip-preview", "--continue-on-error", *common],
        cwd=checkout.root,
        env=env,
    )
    if code:
        _report_locks(checkout)
    _show_labs(checkout, engine, env)
    if code:
        say(f"pulumi up failed with exit code {code}; see the errors above.")
    else:
        say('To continue in your shell: eval "$(python3 dev.py env)", then `pulumi preview -s local`, ...')
        say("To destroy the stack and stop the cloud: python3 dev.py down")
    return code


def down(checkout: Checkout) -> int:
    """Destroy the local stack and stop the embedded cloud, as far as they exist. Return the exit code."""
    code = 0
    if stack_file(checkout):
        engine = set_up(checkout)
        status = start_cloud(checkout)
        env = {**os.environ, **tool_variables(checkout, engine), **cloud_variables(status)}
        code = run_in_foreground(
            [
                *(engine.bin / "pulumi", "destroy", "--stack", STACK, "--yes", "--continue-on-error"),
                *("--parallel", PARALLEL, "--suppress-permalink=true"),
            ],
            cwd=checkout.root,
            env=env,
        )
        if code:
            _report_locks(checkout)
            say(f"pulumi destroy failed with exit code {code}; see the errors above.")
        else:
            with Step("Remove the stack") as step:
                run_quietly(
                    step,
                    # Pulumi.local.yaml is part of the project and is kept.
                    [engine.bin / "pulumi", "stack", "rm", STACK, "--yes", "--preserve-config", "--non-interactive"],
                    cwd=checkout.root,
                    env=env,
                    remedy="See the output below for the cause, then run the same command again",
                )
    else:
        say("There is no local stack: nothing to destroy.")
    if not checkout.cloud_state.is_dir():
        say("There is no embedded cloud: nothing to stop.")
        return code
    ensure_environment(checkout)
    return run_cloud(checkout, "stop") or code


def stack_file(checkout: Checkout) -> Path | None:
    """Return the stack's state file in the file backend; None if there is no stack."""
    return next((checkout.stacks / ".pulumi" / "stacks").glob(f"*/{STACK}.json"), None)


def _report_locks(checkout: Checkout) -> None:
    locks = list((checkout.stacks / ".pulumi" / "locks").rglob("*.json"))
    if locks:
        say(
            "The stack is locked: another pulumi command is running, or one was killed. If none is running: "
            'eval "$(python3 dev.py env)" && pulumi cancel --yes -s local; then run the same command again.'
        )


def _show_labs(checkout: Checkout, engine: Engine, env: dict[str, str]) -> None:
    outputs = subprocess.run(
        [str(engine.bin / "pulumi"), "stack", "output", "--json", "--stack", STACK],
        cwd=checkout.root,
        env=env,
        capture_output=True,
        check=False,
    )
    if outputs.returncode == 0:
        subprocess.run(
            [str(checkout.python), "-m", "toolchain.lab_table"], cwd=checkout.root, input=outputs.stdout, check=False
        )
