"""The command line of dev.py: parses arguments, runs one command and turns an error into a message and an exit code."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from toolchain.checkout import Checkout
from toolchain.checks import test
from toolchain.cloud import cloud_status, emulator_variables, run_cloud, start_cloud
from toolchain.contract_options import add_options
from toolchain.errors import SetupError
from toolchain.processes import run_in_foreground
from toolchain.progress import say
from toolchain.setup.environment import ensure_environment, stamp_file
from toolchain.shell import COMPILED_ONCE, SHELLS, WITHOUT_CHECKPOINTS, cloud_variables, render, tool_variables
from toolchain.stack import down, set_up, up

INTERRUPTED = 128 + signal.SIGINT


def main(arguments: Sequence[str]) -> int:
    """Run one command. Return the exit code: 0 success, 1 a setup step failed, else that of the tool that failed."""
    for_pytest: list[str] = []
    if arguments[:1] == ["test"] and arguments[1:] not in (["-h"], ["--help"]):
        # Not parsed here, so that every option reaches pytest; a leading "--" is for those who expect to need one.
        for_pytest = list(arguments[2:] if arguments[1:2] == ["--"] else arguments[1:])
        arguments = arguments[:1]
    options = _parser().parse_args(arguments)
    options.pytest, options.given = for_pytest, list(arguments[1:])
    checkout = Checkout.here()
    os.environ.update(COMPILED_ONCE)
    try:
        return int(COMMANDS[options.command](checkout, options))
    except SetupError as error:
        say(f"dev.py: {error.with_output()}")
        return 1
    except BrokenPipeError:
        # The reader of the output (head, less) has exited; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        say(f"dev.py: {error}; stopped. Check permissions and free disk space, then run it again")
        return 1
    except KeyboardInterrupt:
        say("\ndev.py: interrupted. Run the same command again to continue.")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py",
        description="Run and test the image factory on this machine, with an embedded cloud.",
        epilog="Writes only to this checkout (.venv, .local) and your cache folder. Does not need root.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _command(
        commands,
        "up",
        "Save VMs and update the local stack, on the embedded cloud",
        "Sets up the tools, starts the embedded cloud, saves the VMs of its factory lab and runs `pulumi up` on the "
        "stack `local`. Run it again to resume after an interrupt. Exit code: that of `pulumi up`.",
    )
    _command(
        commands,
        "down",
        "Destroy the local stack and stop the embedded cloud",
        "Exit code: that of `pulumi destroy`, or 0 if neither exists.",
    )
    _command(
        commands,
        "test",
        "Run all checks and tests, or only pytest with your arguments",
        "Without arguments: runs ruff, mypy, import-linter, Sphinx, the unit tests on each other Python from 3.10 on "
        "that this machine has, and the test suite. With arguments: runs only pytest, in one process. Examples: "
        "`dev.py test tests/unit`, `dev.py test -k relay -x`, `dev.py test tests/azure -n 4 --durations=20` (the 20 "
        "slowest). Exit code: 0, or that of the first failure.",
    ).usage = "dev.py test [PYTEST ARGUMENT ...]"
    contract = _command(
        commands,
        "contract",
        "Run experiments on the service: on the embedded cloud, or with --azure on a spare lab",
        "Asks the service itself what it answers and compares with contract/expected.json. With --azure: shows first "
        "what will be created and its rough cost, asks, deletes all of it, and writes contract.json. Exit code: 0 as "
        "expected, 1 a difference, a failed experiment or something that could not be deleted, 2 wrong usage.",
    )
    add_options(contract)
    _command(commands, "setup", "Set up Python environment, Pulumi engine, plugins, Node.js and Azurite")
    env = _command(
        commands,
        "env",
        'Print the variables for a shell: eval "$(python3 dev.py env)"',
        "Includes the endpoints of the embedded cloud if it is running.",
    )
    env.add_argument("--shell", choices=SHELLS, default="posix", help="output format (default: posix)")
    cloud = _command(commands, "cloud", "Start, stop or inspect the embedded cloud")
    actions = cloud.add_subparsers(dest="action", required=True, metavar="ACTION")
    start = _command(actions, "start", "Start the embedded cloud if it is not running")
    start.add_argument(
        "--seed",
        type=Path,
        metavar="FILE",
        help="document of labs and images to add (docs/development/embedded-cloud.md; default at the first start: "
        "localcloud/seeds/default.json)",
    )
    _command(actions, "stop", "Stop the embedded cloud; its labs and blobs are kept")
    status = _command(actions, "status", "Show endpoints, storage accounts and labs")
    status.add_argument("--json", action="store_true", help="print JSON, with the storage keys")
    return parser


def _command(
    parsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, details: str = ""
) -> argparse.ArgumentParser:
    return parsers.add_parser(name, help=summary, description=f"{summary}. {details}".strip())


def _setup(checkout: Checkout, options: argparse.Namespace) -> int:
    engine = set_up(checkout)
    emulator_variables(checkout)
    say(f"Set up: Python environment {checkout.venv}, engine: {engine.origin}.")
    return 0


def _env(checkout: Checkout, options: argparse.Namespace) -> int:
    engine = set_up(checkout)
    status = cloud_status(checkout)
    variables = {**tool_variables(checkout, engine), **WITHOUT_CHECKPOINTS}
    if status is None:
        say("The embedded cloud is not running; its endpoints are omitted. Start it: python3 dev.py cloud start")
    else:
        variables |= cloud_variables(status)
    print(render(variables, options.shell), flush=True)
    return 0


def _cloud(checkout: Checkout, options: argparse.Namespace) -> int:
    if options.action == "start":
        ensure_environment(checkout)
        start_cloud(checkout, options.seed)
        return 0
    if not stamp_file(checkout).exists():
        say("The embedded cloud has never been started in this checkout.")
        return int(options.action == "status")
    return run_cloud(checkout, options.action, ["--json"] if options.action == "status" and options.json else [])


def _contract(checkout: Checkout, options: argparse.Namespace) -> int:
    ensure_environment(checkout)
    # In the user's folder: it contains the stack files, and gets contract.json.
    env = {**os.environ, "PYTHONPATH": str(checkout.root)}
    return run_in_foreground([checkout.python, "-m", "contract", *options.given], cwd=Path.cwd(), env=env)


COMMANDS = {
    "up": lambda checkout, options: up(checkout),
    "down": lambda checkout, options: down(checkout),
    "test": lambda checkout, options: test(checkout, options.pytest),
    "contract": _contract,
    "setup": _setup,
    "env": _env,
    "cloud": _cloud,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
