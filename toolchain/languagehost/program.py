"""Runs one Pulumi program as `__main__`, connected to the engine. The language host starts it as a script, with the
project's Python.

Exit codes: 0 success, 32 failed with an error that was printed (the engine prints no other), others failed. Prints a
RunError without a traceback, other exceptions with the program's part of it. Reads configuration from the environment
(PULUMI_CONFIG, PULUMI_CONFIG_SECRET_KEYS), which other users cannot read, unlike the process list.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

FAILED_WITH_MESSAGE = 32
"""Exit code: failed, and the error was printed (as the official host defines it)."""


class Settings(TypedDict):
    """The keyword arguments of `pulumi.runtime.Settings`."""

    monitor: str
    engine: str
    project: str
    stack: str
    parallel: int
    dry_run: bool
    organization: str
    root_directory: str


def run(settings: Settings, folder: str, entry_point: str, arguments: list[str]) -> int:
    """Run `entry_point` (a file, or a folder with `__main__.py`) in `folder`. Return the process's exit code."""
    try:
        import pulumi
        import pulumi.runtime
    except ImportError:
        traceback.print_exc()
        print("The Pulumi SDK is not installed in this environment: run `pulumi install`.", file=sys.stderr)
        return 1
    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    pulumi.runtime.configure(pulumi.runtime.Settings(**settings))
    os.chdir(folder)
    sys.argv = [entry_point, *arguments]
    program = Path(entry_point).resolve()

    def body() -> None:
        runpy.run_path(entry_point, run_name="__main__")

    main = program / "__main__.py" if program.is_dir() else program
    if not main.is_file():
        pulumi.log.error(f"{program}: has no __main__.py; no program was run. Create it, or set `main` in Pulumi.yaml")
        return FAILED_WITH_MESSAGE

    # A failed program leaves futures that nothing awaits; asyncio's warnings about them would hide the cause.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=max(settings["parallel"], 1) * 4)
    loop.set_default_executor(executor)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(body))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception as error:
        pulumi.log.error("Program failed with an unhandled exception:\n" + own_traceback(error, main))
        return FAILED_WITH_MESSAGE
    finally:
        executor.shutdown(wait=True)
        loop.close()
    return 0


def own_traceback(error: Exception, main: Path) -> str:
    """Return the traceback from the program's first line on, or all of it if the program was not reached."""
    frame = error.__traceback__
    while frame is not None and Path(frame.tb_frame.f_code.co_filename).resolve() != main:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame or error.__traceback__))


if __name__ == "__main__":
    # The program must not import modules from the host's folder.
    del sys.path[0]
    sys.exit(run(json.loads(sys.argv[1]), *json.loads(sys.argv[2])))
