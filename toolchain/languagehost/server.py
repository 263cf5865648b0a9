"""The gRPC service `pulumirpc.LanguageRuntime` of the Python language host.

Runs each call's program in a process of its own, so that a crash or hang does not affect the host. Does not implement
the calls that only code generation needs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import language_pb2 as messages
from pulumi.runtime.proto import plugin_pb2
from pulumi.runtime.proto.language_pb2_grpc import LanguageRuntimeServicer, add_LanguageRuntimeServicer_to_server

from toolchain.languagehost.environments import Environment, PythonEnvironmentError
from toolchain.languagehost.processes import Child
from toolchain.languagehost.program import FAILED_WITH_MESSAGE, Settings

PROGRAM = str(Path(__file__).with_name("program.py"))

Response = TypeVar("Response")


class LanguageHost(LanguageRuntimeServicer):
    """The language host of one engine. When the engine cancels a call, the process of that call is stopped."""

    def __init__(self, engine_address: str) -> None:
        self._engine_address = engine_address

    def Handshake(
        self, request: messages.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> messages.LanguageHandshakeResponse:
        self._engine_address = request.engine_address or self._engine_address
        return messages.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo()

    def GetRequiredPackages(
        self, request: messages.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> messages.GetRequiredPackagesResponse:
        """Return the resource plugins of the installed packages; the engine installs them before the program runs."""
        return messages.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(
                    name=plugin["name"],
                    kind="resource",
                    version=f"v{plugin['version'].removeprefix('v')}",
                    server=plugin.get("server", ""),
                )
                for plugin in _environment(request.info, context).plugins()
            ]
        )

    def Run(self, request: messages.RunRequest, context: grpc.ServicerContext) -> messages.RunResponse:
        if request.attach_debugger:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "This language host does not support debuggers")
        environment = _environment(request.info, context)
        settings = Settings(
            monitor=request.monitor_address,
            engine=self._engine_address,
            project=request.project,
            stack=request.stack,
            parallel=request.parallel,
            dry_run=request.dryRun,
            organization=request.organization or "organization",
            root_directory=request.info.root_directory,
        )
        entry_point = str(Path(request.info.program_directory, request.info.entry_point))
        arguments = [request.pwd, entry_point, list(request.args)]
        configuration = {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        child = _start(
            context,
            [_python(environment, context), "-u", PROGRAM, json.dumps(settings), json.dumps(arguments)],
            cwd=request.pwd,
            env={**environment.variables(os.environ), **configuration},
            capture=False,
        )
        code = child.wait()
        if code == 0:
            return messages.RunResponse()
        if code == FAILED_WITH_MESSAGE:
            return messages.RunResponse(bail=True)
        if code < 0:
            return messages.RunResponse(error=f"Program was killed by signal {signal.Signals(-code).name}")
        return messages.RunResponse(error=f"Program exited with non-zero exit code: {code}")

    def RunPlugin(
        self, request: messages.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[messages.RunPluginResponse]:
        environment = _environment(request.info, context)
        entry_point = str(Path(request.info.program_directory, request.info.entry_point))
        child = _start(
            context,
            [_python(environment, context), "-u", entry_point, *request.args],
            cwd=request.pwd,
            env={**environment.variables(os.environ), **dict(pair.split("=", 1) for pair in request.env)},
            capture=True,
        )
        yield from _output(child, messages.RunPluginResponse)
        yield messages.RunPluginResponse(exitcode=child.wait())

    def InstallDependencies(
        self, request: messages.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[messages.InstallDependenciesResponse]:
        """Create the virtual environment if it is missing, then install requirements.txt if it exists."""
        folder = request.info.program_directory or request.directory
        environment = _environment(request.info, context)
        if environment.folder is not None and not (environment.folder / "pyvenv.cfg").is_file():
            yield from self._install(context, [sys.executable, "-m", "venv", str(environment.folder)], folder)
        if Path(folder, "requirements.txt").is_file():
            pip = [_python(environment, context), "-m", "pip", "install", "-r", "requirements.txt"]
            yield from self._install(context, pip, folder)

    def _install(
        self, context: grpc.ServicerContext, command: list[str], folder: str
    ) -> Iterator[messages.InstallDependenciesResponse]:
        child = _start(context, command, cwd=folder, env=dict(os.environ), capture=True)
        yield from _output(child, messages.InstallDependenciesResponse)
        if code := child.wait():
            context.abort(
                grpc.StatusCode.UNKNOWN,
                f"{' '.join(command)}: failed with exit code {code}; the Python environment of {folder} is incomplete. "
                "See its messages above for the cause",
            )

    def About(self, request: messages.AboutRequest, context: grpc.ServicerContext) -> messages.AboutResponse:
        python = _python(_environment(request.info, context), context)
        return messages.AboutResponse(executable=python, version=".".join(map(str, sys.version_info[:3])))

    def GetProgramDependencies(
        self, request: messages.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> messages.GetProgramDependenciesResponse:
        found = _environment(request.info, context).dependencies(request.transitiveDependencies)
        return messages.GetProgramDependenciesResponse(
            dependencies=[messages.DependencyInfo(name=name, version=version) for name, version in found.items()]
        )

    def RuntimeOptionsPrompts(
        self, request: messages.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> messages.RuntimeOptionsResponse:
        return messages.RuntimeOptionsResponse()

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Do nothing: a program exits with its engine's monitor, and a provider receives its own Cancel."""
        return empty_pb2.Empty()


def _environment(info: messages.ProgramInfo, context: grpc.ServicerContext) -> Environment:
    try:
        return Environment.of(info.root_directory, info.program_directory, json_format.MessageToDict(info.options))
    except PythonEnvironmentError as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        raise


def _python(environment: Environment, context: grpc.ServicerContext) -> str:
    try:
        return environment.python
    except PythonEnvironmentError as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        raise


def _start(context: grpc.ServicerContext, command: list[str], *, cwd: str, env: dict[str, str], capture: bool) -> Child:
    child = Child(command, cwd=cwd, env=env, capture=capture)
    if not context.add_callback(child.stop):
        # The engine has already canceled the call.
        child.stop()
    return child


def _output(child: Child, response: Callable[[], Response]) -> Iterator[Response]:
    for chunk in child.output():
        message = response()
        setattr(message, chunk.stream, chunk.data)
        yield message


def serve(engine_address: str) -> None:
    """Serve on a free loopback port, printed as the first line, until SIGINT, SIGTERM or the engine's exit."""
    engine = os.getppid()  # before the port is printed: an engine that has read it may exit immediately
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    server = grpc.server(
        ThreadPoolExecutor(max_workers=64),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    add_LanguageRuntimeServicer_to_server(LanguageHost(engine_address), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    while not stopped.wait(timeout=1) and os.getppid() == engine:
        pass
    Child.stop_all()
    server.stop(grace=None)
