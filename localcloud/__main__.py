"""`python -m localcloud serve | start | stop | status`: the embedded cloud's command line.

Starts and stops the daemon, and turns errors into messages and exit codes.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from localcloud.client import CloudClient, CloudError
from localcloud.private_files import read_private
from localcloud.seed import SeedDocument, SeedError, load_seed
from localcloud.state_lock import LOCK_SECONDS, DaemonError, is_locked

START_SECONDS = 60.0 + LOCK_SECONDS
app = typer.Typer(help="Run the embedded cloud: emulators on this machine.", no_args_is_help=True, add_completion=False)
_StateOption = Annotated[Path, typer.Option("--state", help="Private folder that contains all state")]
_SeedOption = Annotated[
    Path | None, typer.Option("--seed", help="Seed document to add (docs/development/embedded-cloud.md)")
]
_InMemoryOption = Annotated[bool, typer.Option("--in-memory", help="Keep labs and blobs in memory only")]
_err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


@app.command()
def serve(
    state: _StateOption,
    seed: _SeedOption = None,
    arm_port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
    blob_port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
    in_memory: _InMemoryOption = False,
) -> None:
    """Serve in the foreground until SIGTERM or Ctrl-C."""
    from localcloud.server import Options  # here: these imports take 1 s, which the other commands save
    from localcloud.server import serve as serve_cloud

    gc.set_threshold(100_000, 50, 50)  # a cloud keeps most of what it makes
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    document = load_seed(seed) if seed else SeedDocument()
    asyncio.run(serve_cloud(Options(state.resolve(), document, arm_port, blob_port, in_memory)))


@app.command()
def start(state: _StateOption, seed: _SeedOption = None, in_memory: _InMemoryOption = False) -> None:
    """Start the cloud in the background and wait until it is ready; add the seed, even if it is already running."""
    document = load_seed(seed) if seed else None
    client = CloudClient(state)
    if _status(client) is None:
        _start_daemon(state, client, ["--in-memory"] if in_memory else [])
    else:
        _err.print("The embedded cloud is already running.")
    if document is not None:
        _seed(client, document)
    status = client.status()
    _err.print(f"Embedded cloud: {status['resourceManager']}, {len(status['labs'])} labs, state in {state}")


@app.command()
def stop(state: _StateOption) -> None:
    """Stop the cloud and wait until its state is saved and its processes have exited."""
    if not is_locked(state):
        _err.print("The embedded cloud is not running.")
        return
    pid = read_private(state / "daemon.json").get("pid")
    if isinstance(pid, int):
        with suppress(ProcessLookupError):  # the daemon was killed, and Azurite is still writing
            os.kill(pid, signal.SIGTERM)
    waiting = _Waiting("Stopping the embedded cloud")
    while is_locked(state):
        if waiting.seconds > LOCK_SECONDS:
            raise DaemonError(
                f"{state}: the embedded cloud (process {pid}) did not stop within {LOCK_SECONDS:.0f} s. "
                f"See {state / 'daemon.log'}, then kill that process."
            )
        waiting.tick()
    _err.print("The embedded cloud has stopped.")


@app.command()
def status(state: _StateOption, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show endpoints, storage accounts and labs; with --json also the storage keys. Exit code 1: not running."""
    document = CloudClient(state).status()
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    # Logs and pipes have no width; rich would assume 80 columns and truncate the names.
    width = None if sys.stdout.isatty() else 160
    console = Console(highlight=False, width=width, markup=False, emoji=False)
    for name in ("resourceManager", "blobEndpoint", "identityEndpoint", "pid"):
        console.print(f"{name}: {document[name]}", soft_wrap=True)
    table = Table()
    for column in ("Lab", "Subscription", "Resource group", "Region", "Storage account"):
        table.add_column(column, overflow="fold")
    for lab in document["labs"]:
        account = lab["storageAccount"] or "(none)"
        table.add_row(lab["name"], lab["subscriptionId"], lab["resourceGroup"], lab["region"], account)
    console.print(table)
    if spare := [each["name"] for each in document["storageAccounts"] if each["id"] is None]:
        console.print(f"Storage accounts without a lab: {', '.join(spare)}", soft_wrap=True)


class _Waiting:
    """A wait in short pauses that prints a line every 2 s."""

    def __init__(self, activity: str) -> None:
        self._activity, self._started, self._printed = activity, time.monotonic(), 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def tick(self, detail: str = "") -> None:
        time.sleep(0.1)
        if self.seconds - self._printed > 2:
            self._printed = self.seconds
            _err.print(f"{self._activity}{detail} ({self.seconds:.0f} s)")


def _status(client: CloudClient) -> dict[str, Any] | None:
    try:
        return client.status()
    except CloudError:
        return None


def _start_daemon(state: Path, client: CloudClient, options: list[str]) -> None:
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)
    log = state / "daemon.log"
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "localcloud", "serve", "--state", str(state.resolve()), *options],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    waiting = _Waiting("Starting the embedded cloud")
    while (ready := _status(client)) is None or ready["pid"] != daemon.pid:
        exited = daemon.poll() is not None
        if exited or waiting.seconds > START_SECONDS:
            fact = "exited" if exited else f"was not ready after {START_SECONDS:.0f} s"
            daemon.terminate()
            last = "\n  ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
            raise DaemonError(f"Embedded cloud: {fact}. The last lines of {log}:\n  {last}")
        waiting.tick()


def _seed(client: CloudClient, document: SeedDocument) -> None:
    failed: list[CloudError] = []

    def call() -> None:
        try:
            client.seed(document.to_json())
        except CloudError as error:
            failed.append(error)

    worker = Thread(target=call, daemon=True)
    worker.start()
    waiting = _Waiting("Creating factory images")
    while worker.is_alive():
        progress = (_status(client) or {}).get("seeding") or {}
        waiting.tick(f": {progress['done']} of {progress['total']}" if progress else "")
    if failed:
        raise failed[0]


def main() -> None:
    """Run a command; print an error as a message and exit with code 1."""
    try:
        app(prog_name="python -m localcloud")
    except (DaemonError, CloudError, SeedError, OSError) as error:
        _err.print(f"error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
