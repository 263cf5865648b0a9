"""Runs one Pulumi program as `__main__`, connected to the engine. Run as a script by the language host, with the
project's own Python.

Owns how a program's end is told: 0 done, 32 failed and already said why (the engine adds nothing), anything else
failed. A RunError is shown as its message alone, any other exception with the program's part of its traceback.
Configuration comes in the environment (PULUMI_CONFIG, PULUMI_CONFIG_SECRET_KEYS), never in the process list. It refuses
to guess: a folder without `__main__.py` is an error.
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

SHOWN = 32
"""Exit code: failed, and the user has been told (the official host's own convention)."""


class Settings(TypedDict):
    """What a run is told: keyword arguments of `pulumi.runtime.Settings`."""

    monitor: str
    engine: str
    project: str
    stack: str
    parallel: int
    dry_run: bool
    organization: str
    root_directory: str


def run(settings: Settings, folder: str, entry_point: str, arguments: list[str]) -> int:
    """Run `entry_point` (a file, or a folder with `__main__.py`) from `folder`. Returns the process's exit code."""
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
        pulumi.log.error(f"{program}: it has no __main__.py, so there is no program to run. Create it, or set `main`")
        return SHOWN

    # A program that fails leaves futures of its graph unobserved; asyncio's complaints about them would hide the cause.
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
        return SHOWN
    finally:
        executor.shutdown(wait=True)
        loop.close()
    return 0


def own_traceback(error: Exception, main: Path) -> str:
    """The traceback from the program's first line on; all of it if the error came before that."""
    frame = error.__traceback__
    while frame is not None and Path(frame.tb_frame.f_code.co_filename).resolve() != main:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame or error.__traceback__))


if __name__ == "__main__":
    # Nothing of the host's folder may be imported by the program.
    del sys.path[0]
    sys.exit(run(json.loads(sys.argv[1]), *json.loads(sys.argv[2])))
