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
from toolchain.shell import WITHOUT_CHECKPOINTS, cloud_variables, tool_variables

PARALLEL = "64"
"""Concurrent operations of the engine: they wait for the storage service, not for this machine."""
OPTIONS = ("--stack", STACK, "--parallel", PARALLEL, "--suppress-permalink=true")


def set_up(checkout: Checkout, *, development: bool = False) -> Engine:
    """Set up environment and engine, and the plugins in this checkout's PULUMI_HOME. Raises SetupError."""
    ensure_environment(checkout, development=development)
    engine = ensure_engine(checkout)
    checkout.stacks.mkdir(parents=True, exist_ok=True)
    install(checkout.pulumi_home, checkout.python, locked_version(checkout, "pulumi-azure-native"))
    return engine


class _LocalShell:
    """Runs commands as in a shell with the variables of `dev.py env`, with the embedded cloud running."""

    def __init__(self, checkout: Checkout) -> None:
        engine = set_up(checkout)
        status = start_cloud(checkout)
        self.checkout = checkout
        self.pulumi = engine.bin / "pulumi"
        self.env = {**os.environ, **tool_variables(checkout, engine), **cloud_variables(status)}

    def run(self, program: Path, *arguments: str) -> int:
        """Run in the user's terminal and return the exit code."""
        return run_in_foreground([program, *arguments], cwd=self.checkout.root, env=self.env)

    def imagefactory(self, command: str, *options: str) -> int:
        """Run a command of the image factory on the stack and return the exit code."""
        return self.run(self.checkout.venv / "bin" / "imagefactory", command, "--stack", STACK, *options)

    def run_quietly(self, title: str, *arguments: str, remedy: str) -> None:
        """Run pulumi. Raises SetupError if it fails."""
        with Step(title) as step:
            command: list[str | Path] = [self.pulumi, *arguments, "--non-interactive"]
            run_quietly(step, command, cwd=self.checkout.root, env=self.env, remedy=remedy)

    def change_stack(self, command: str, *options: str) -> int:
        """Run `pulumi up` or `destroy` and return the exit code. If it fails, report a lock of the stack."""
        code = self.run(self.pulumi, command, "--yes", "--continue-on-error", *OPTIONS, *options)
        if code:
            _report_locks(self.checkout)
        return code


def up(checkout: Checkout) -> int:
    """Save the factory's VMs, adopt images that exist in the labs, and update the local stack, on the embedded cloud.

    Return the engine's exit code.
    """
    shell = _LocalShell(checkout)
    shell.env.update(WITHOUT_CHECKPOINTS)
    if stack_file(checkout) is None:
        remedy = f"Delete {checkout.stacks} if you do not need its stacks, then run the same command again"
        shell.run_quietly("Create the stack", "stack", "init", STACK, remedy=remedy)
    if shell.imagefactory("save"):
        say("Not all VMs of the factory lab were saved; the saved ones are distributed.")
    if shell.imagefactory("adopt", "--yes"):
        say("Not all existing images can be taken over into the state (see above); everything else is updated.")
    if shell.run(shell.pulumi, "preview", *OPTIONS, "--suppress-outputs"):
        say("The preview reported errors (see above); labs and images without errors are updated.")
    # With its own preview, `up` stops before it updates any lab.
    code = shell.change_stack("up", "--skip-preview", "--suppress-outputs")
    _show_labs(shell)
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
        shell = _LocalShell(checkout)
        code = shell.change_stack("destroy")
        if code:
            say(f"pulumi destroy failed with exit code {code}; see the errors above.")
        else:
            # Pulumi.local.yaml is part of the project and is kept.
            remove = ("stack", "rm", STACK, "--yes", "--preserve-config")
            remedy = "See the output below for the cause, then run the same command again"
            shell.run_quietly("Remove the stack", *remove, remedy=remedy)
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
    if list((checkout.stacks / ".pulumi" / "locks").rglob("*.json")):
        say(
            "The stack is locked: another pulumi command is running, or one was killed. If none is running: "
            'eval "$(python3 dev.py env)" && pulumi cancel --yes -s local; then run the same command again.'
        )


def _show_labs(shell: _LocalShell) -> None:
    root = shell.checkout.root
    show = [str(shell.pulumi), "stack", "output", "--json", "--stack", STACK]
    outputs = subprocess.run(show, cwd=root, env=shell.env, capture_output=True, check=False)
    if outputs.returncode == 0:
        table = [str(shell.checkout.python), "-m", "toolchain.lab_table"]
        subprocess.run(table, cwd=root, input=outputs.stdout, check=False)
