"""A Python process that has imported the installed libraries, and forks a child for each command that a test starts.

Run as a script with the path of a Unix socket. The project's own code is loaded too, but a child gets it only where it
would load the same files, unchanged: it runs what its checkout contains now. Ends when its standard input ends. Linux
only. `tests.warm.client` is the other side.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import itertools
import marshal
import os
import runpy
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

LIBRARIES = (
    "aiohttp",
    "azure.core.pipeline.transport",
    "azure.identity",
    "azure.identity.aio",
    "azure.mgmt.core.policies",
    "azure.mgmt.core.polling.async_arm_polling",
    "azure.storage.blob",
    "azure.storage.blob.aio",
    "google.protobuf.json_format",
    "grpc.aio",
    "gzip",
    "jsonschema",
    "pulumi",
    "pulumi.runtime",
    "pulumi_azure_native",
    "pulumi_azure_native.compute",
    "pulumi_azure_native.devtestlab",
    "pydantic",
    "pydantic.alias_generators",
    "pydantic.dataclasses",
    "pydantic.functional_validators",
    "pydantic.json_schema",
    "pydantic.types",
    "rich.console",
    "rich.progress",
    "rich.table",
    "typer",
    "yaml",
)
"""What takes long to import and does not read the environment while it is imported."""
OWN_LIBRARIES = (
    "components.distribution",
    "imagefactory.cli.main",
    "imagefactory.sdk_messages",
    "localcloud.azure_native.server",
    "providers.vhdcopy.server",
    "toolchain.languagehost.server",
)
OWN = ("components", "imagefactory", "localcloud", "providers", "toolchain")
LIMIT = 256 * 1024
"""Bytes that are read at once."""
_PR_SET_PDEATHSIG = 1


_ends: list[int] = []
"""The exit code of the command, once that is known."""


@atexit.register  # the first one, before a library registers another: so it is the last that is done at exit
def _skip_finalization() -> None:
    """Exit now: taking apart all that was imported would take longer than most commands."""
    if _ends:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            return  # the interpreter reports it
        os._exit(_ends[0])


class OwnCode(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The project's modules, for a command that finds the same files by its own path, and as they were when loaded."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        sys.path.insert(0, root)
        for name in OWN_LIBRARIES:
            importlib.import_module(name)
        sys.path.remove(root)
        names = [name for name in sys.modules if name.partition(".")[0] in OWN]
        self._modules = {name: sys.modules.pop(name) for name in names}
        self._files = {str(module.__file__): _version(str(module.__file__)) for module in self._modules.values()}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for the first package of the project that a command imports: all come with it, or none."""
        if name not in OWN:
            return None
        specs = {own: importlib.machinery.PathFinder.find_spec(own) for own in OWN}
        self._found = {own: os.path.realpath(str(spec.origin)) for own, spec in specs.items() if spec}
        same_files = all(self._modules[own].__file__ == file for own, file in self._found.items())
        if name in self._found and same_files and all(_version(file) == self._files[file] for file in self._files):
            return importlib.util.spec_from_loader(name, self, is_package=True)
        sys.meta_path.remove(self)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = self._modules[spec.name]
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        sys.meta_path.remove(self)
        module.__spec__ = self._spec
        sys.modules.update({name: own for name, own in self._modules.items() if name.partition(".")[0] in self._found})


def _version(file: str) -> tuple[int, int]:
    state = os.stat(file)  # noqa: PTH116
    return state.st_mtime_ns, state.st_size


def serve(path: str) -> Callable[[], None]:
    """Serve commands at a socket until standard input ends. Returns in a child only: the command to run there."""
    for name in LIBRARIES:
        hasattr(importlib.import_module(name), "any")  # a lazy module is read at the first use of an attribute
    importlib.import_module("pydantic").create_model("Any")  # what the first model imports
    sys.meta_path.insert(0, OwnCode())
    if threading.active_count() > 1:
        sys.exit("a library starts threads when it is imported: a child would not have them")
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)  # most commands end before they have made so much
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    print("ready", flush=True)
    return _keep(listener)


def _keep(listener: socket.socket) -> Callable[[], None]:
    """Start commands, pass the signals of their clients on and say how they end. Returns in a child only."""
    service = os.getpid()
    clients: dict[socket.socket, int] = {}
    commands: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready: list[Any] = select.select([listener, sys.stdin, *clients, *commands], [], [])[0]
        if sys.stdin in ready:
            sys.exit(0)
        for ended in commands.keys() & ready:
            pid, client = commands.pop(ended)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.close(ended)
            if clients.pop(client, None):
                with suppress(OSError), client:  # it may be gone, too
                    client.sendall(str(code).encode())
        for client in clients.keys() & ready:
            numbers = _received(client)
            for number in numbers or [signal.SIGKILL]:  # a client that is gone was killed
                os.kill(clients[client], number)
            if not numbers:
                del clients[client]
                client.close()
        if listener not in ready:
            continue
        client, _ = listener.accept()
        message, streams = _receive(client)
        pid = os.fork() if message else -1
        if pid == 0:
            for each in (listener, client, *clients):
                each.close()
            for ended in commands:
                os.close(ended)
            return lambda: _run(service, marshal.loads(message), streams)  # noqa: S302 - written by the client
        for stream in streams:
            os.close(stream)
        if pid > 0:
            clients[client] = pid
            commands[os.pidfd_open(pid)] = pid, client


def _received(client: socket.socket) -> bytes:
    """Return what a client sent; nothing if it is gone."""
    try:
        return client.recv(LIMIT)
    except ConnectionError:
        return b""


def _receive(client: socket.socket) -> tuple[bytes, list[int]]:
    """Return a command and its streams; nothing of a client that was killed before it said all."""
    message, streams, _, _ = socket.recv_fds(client, LIMIT, 3)
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[:4], "big"):
        more = _received(client)
        if not more:
            return b"", streams
        message += more
    return message[4:], streams


def _run(service: int, command: dict[str, Any], streams: list[int]) -> None:
    """Become the Python process that the client was asked to be."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != service:
        os._exit(1)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["environment"])
    sys.executable, *arguments = command["arguments"]
    flags = list(itertools.takewhile({"-u", "-I"}.__contains__, arguments))
    unbuffered, isolated = "-u" in flags, "-I" in flags
    sys.stdin, sys.stdout, sys.stderr = open(0, encoding="utf-8"), _text(1, unbuffered), _text(2, unbuffered)  # noqa: SIM115
    what, *rest = arguments[len(flags) :]
    path = os.environ.get("PYTHONPATH", "")
    sys.path[:1] = [] if isolated else [""] + path.split(os.pathsep) * bool(path)
    if what == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - that is what -c asks for
    elif what == "-m":
        sys.argv = rest
        sys.path[0] = command["folder"]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [what, *rest]
        sys.path[0] = os.path.dirname(os.path.realpath(what))  # noqa: PTH120
        runpy.run_path(what, run_name="__main__")


def _text(number: int, unbuffered: bool) -> TextIO:
    raw = open(number, "wb", buffering=0 if unbuffered else -1)  # noqa: SIM115
    errors = "backslashreplace" if number == 2 else "strict"
    return io.TextIOWrapper(
        raw, "utf-8", errors, line_buffering=number == 2 or os.isatty(number), write_through=unbuffered
    )


if __name__ == "__main__":
    # The command runs at the top level: its exceptions, its exit code and what is to do at exit are the interpreter's.
    try:
        serve(sys.argv[1])()
        _ends.append(0)
    except SystemExit as end:
        _ends.append(end.code & 0xFF if isinstance(end.code, int) else int(end.code is not None))
        raise
