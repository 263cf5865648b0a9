"""Child processes of the language host: programs, providers, installations.

Owns their end: none outlives the call that it serves, nor the host. Children stay in the host's process group, so the
engine's own kill of that group reaches them too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Literal, NamedTuple

GRACE_SECONDS = 5.0
"""Between the request to end and the kill: what the engine itself gives a plugin."""

LAUNCH = str(Path(__file__).with_name("launch.py"))


class Chunk(NamedTuple):
    """Some bytes of a child's output."""

    stream: Literal["stdout", "stderr"]
    data: bytes


class Child:
    """A started child. `stop` may be called from any thread, any number of times, also when it has ended."""

    _all: set[Child] = set()  # noqa: RUF012 - shared on purpose: every living child, for `stop_all`
    _lock = threading.Lock()

    def __init__(self, command: Sequence[str], *, cwd: str, env: Mapping[str, str], capture: bool) -> None:
        """Start `command` (an absolute program path first). Its output goes to the host's own unless `capture`."""
        output = subprocess.PIPE if capture else None
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", LAUNCH, str(os.getpid()), *command],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        with self._lock:
            self._all.add(self)

    def wait(self) -> int:
        """The exit code, negative for a signal, when the child has ended."""
        code = self._process.wait()
        with self._lock:
            self._all.discard(self)
        return code

    def output(self) -> Iterator[Chunk]:
        """Captured output as it comes, until both streams are at their end."""
        chunks: SimpleQueue[Chunk | None] = SimpleQueue()

        def pump(stream: Literal["stdout", "stderr"], pipe: IO[bytes]) -> None:
            while data := os.read(pipe.fileno(), 65536):
                chunks.put(Chunk(stream, data))
            chunks.put(None)

        assert self._process.stdout is not None and self._process.stderr is not None  # noqa: S101 - capture=True
        threading.Thread(target=pump, args=("stdout", self._process.stdout), daemon=True).start()
        threading.Thread(target=pump, args=("stderr", self._process.stderr), daemon=True).start()
        ended = 0
        while ended < 2:
            chunk = chunks.get()
            if chunk is None:
                ended += 1
            else:
                yield chunk

    def stop(self) -> None:
        """Ask the child to end, and kill it after GRACE_SECONDS. Returns at once."""
        if self._process.poll() is None:
            self._process.terminate()
            killer = threading.Timer(GRACE_SECONDS, self._process.kill)
            killer.daemon = True
            killer.start()

    @classmethod
    def stop_all(cls) -> None:
        """End every living child, and wait until they have ended."""
        with cls._lock:
            living = list(cls._all)
        for child in living:
            child.stop()
        for child in living:
            child.wait()
