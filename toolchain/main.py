"""The command line of dev.py: verbs, their arguments, and the one place where an error becomes an exit code.

Owns argument parsing only; each verb is a function of its module.
"""

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
from toolchain.faults import SetupFault
from toolchain.processes import ToolOutput
from toolchain.progress import say
from toolchain.setup.environment import ensure_environment, stamp_file
from toolchain.shell import SHELLS, cloud_variables, render, tool_variables
from toolchain.stack import down, set_up, up

INTERRUPTED = 128 + signal.SIGINT


def main(arguments: Sequence[str]) -> int:
    """Run one verb. Returns the exit code: 0 done, 1 a step could not be had, else that of the tool that failed."""
    for_pytest: list[str] = []
    if arguments[:1] == ["test"] and arguments[1:] not in (["-h"], ["--help"]):
        arguments, for_pytest = arguments[:1], list(arguments[1:])
    options = _parser().parse_args(arguments)
    options.pytest = for_pytest
    checkout = Checkout.here()
    try:
        return int(VERBS[options.verb](checkout, options))
    except SetupFault as fault:
        say(f"dev.py: {fault}")
        if isinstance(fault.__cause__, ToolOutput):
            say(str(fault.__cause__))
        return 1
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        say(f"dev.py: {error}, so it stopped. Mend that (rights, room on the disk), then run it again")
        return 1
    except KeyboardInterrupt:
        say("\ndev.py: interrupted; run the same command again to go on.")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py",
        description="The image factory on this machine alone: its tools, an embedded cloud, its tests.",
        epilog="Everything lies in this checkout (.venv, .local) and in the user's cache folder. Nothing needs root.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser(
        "up", help="set up, start the embedded cloud, save its VMs, and run `pulumi up` of the local stack"
    )
    verbs.add_parser("down", help="destroy the local stack and stop the embedded cloud")
    verbs.add_parser(
        "test",
        usage="dev.py test [PYTEST ARGUMENT ...]",
        help="set up and run all checks and tests; arguments after it go to pytest, which then runs alone",
    )
    verbs.add_parser("setup", help="only set up: Python environment, Pulumi engine, plugins, Node.js, Azurite")
    env = verbs.add_parser("env", help='print the variables for a shell: eval "$(python3 dev.py env)"')
    env.add_argument("--shell", choices=SHELLS, default="posix", help="how to print them (default: posix)")
    cloud = verbs.add_parser("cloud", help="the embedded cloud on its own: start, stop, status")
    actions = cloud.add_subparsers(dest="action", required=True, metavar="ACTION")
    start = actions.add_parser("start", help="start it, if it does not run")
    start.add_argument(
        "--seed",
        type=Path,
        metavar="FILE",
        help="seed document (docs/development/embedded-cloud.md); at the first start default.json of localcloud/seeds",
    )
    actions.add_parser("stop", help="stop it; what it holds is kept")
    status = actions.add_parser("status", help="its endpoints, storage accounts and labs")
    status.add_argument("--json", action="store_true", help="as JSON, with the storage keys")
    return parser


def _setup(checkout: Checkout, options: argparse.Namespace) -> int:
    engine = set_up(checkout)
    emulator_variables(checkout)
    say(f"Set up: Python environment {checkout.venv}, engine: {engine.origin}.")
    return 0


def _env(checkout: Checkout, options: argparse.Namespace) -> int:
    engine = set_up(checkout)
    status = cloud_status(checkout)
    variables = tool_variables(checkout, engine)
    if status is None:
        say("The embedded cloud does not run, so its endpoints are left out. Start it: python3 dev.py cloud start")
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
        say("The embedded cloud has never been started here.")
        return int(options.action == "status")
    return run_cloud(checkout, options.action, ["--json"] if options.action == "status" and options.json else [])


VERBS = {
    "up": lambda checkout, options: up(checkout),
    "down": lambda checkout, options: down(checkout),
    "test": lambda checkout, options: test(checkout, options.pytest),
    "setup": _setup,
    "env": _env,
    "cloud": _cloud,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
