"""Child processes of the language host: programs, providers, installations.

Stops each child with the call that started it, and all children with the host. Children are in the host's process
group, so the engine's kill of that group reaches them, too.
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
"""Between the request to exit and the kill; the engine gives a plugin the same time."""

LAUNCH = str(Path(__file__).with_name("launch.py"))


class Chunk(NamedTuple):
    """Some bytes of a child's output."""

    stream: Literal["stdout", "stderr"]
    data: bytes


class Child:
    """A started child. `stop` may be called from any thread, repeatedly, and after the child has exited."""

    _all: set[Child] = set()  # noqa: RUF012 - shared on purpose: all running children, for `stop_all`
    _lock = threading.Lock()

    def __init__(self, command: Sequence[str], *, cwd: str, env: Mapping[str, str], capture: bool) -> None:
        """Start `command` (an absolute program path first). Without `capture`, its output is the host's output."""
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
        """Wait until the child exits and return its exit code, negative for a signal."""
        code = self._process.wait()
        with self._lock:
            self._all.discard(self)
        return code

    def output(self) -> Iterator[Chunk]:
        """Yield captured output as it arrives, until both streams are closed."""
        chunks: SimpleQueue[Chunk | None] = SimpleQueue()

        def pump(stream: Literal["stdout", "stderr"], pipe: IO[bytes]) -> None:
            while data := os.read(pipe.fileno(), 65536):
                chunks.put(Chunk(stream, data))
            chunks.put(None)

        assert self._process.stdout is not None and self._process.stderr is not None  # noqa: S101 - capture=True
        threading.Thread(target=pump, args=("stdout", self._process.stdout), daemon=True).start()
        threading.Thread(target=pump, args=("stderr", self._process.stderr), daemon=True).start()
        closed = 0
        while closed < 2:
            chunk = chunks.get()
            if chunk is None:
                closed += 1
            else:
                yield chunk

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL after GRACE_SECONDS. Does not wait."""
        if self._process.poll() is None:
            self._process.terminate()
            killer = threading.Timer(GRACE_SECONDS, self._process.kill)
            killer.daemon = True
            killer.start()

    @classmethod
    def stop_all(cls) -> None:
        """Stop all running children and wait until they have exited."""
        with cls._lock:
            running = list(cls._all)
        for child in running:
            child.stop()
        for child in running:
            child.wait()
