"""The filter of the pipelines: all output of a program passes as text, immediately and completely."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.agent_commands import SET_VARIABLE
from toolchain.checkout import Checkout

FILTER = [sys.executable, "-m", "imagefactory.neutral"]


def test_lines_pass_as_they_come_and_to_the_end_whatever_signal_does() -> None:
    """A pipeline that is cancelled still shows how the program cleaned up, and the program is not killed by a pipe."""
    with subprocess.Popen(FILTER, cwd=Checkout.here().root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        for text, shown in (
            (f"  + {SET_VARIABLE}".encode(), b"  + # #vso["),
            (b"::error::\xff?sig=x\r", b": :error::\\xff"),
        ):
            process.stdin.write(text + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().startswith(shown)
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
        process.stdin.write(b"the end, without a line's")
        process.stdin.close()
        assert process.stdout.read() == b"the end, without a line's\n"
    assert process.returncode == 0


def test_a_program_can_write_to_its_end_although_nobody_reads_any_more() -> None:
    """An agent that cancels a step closes its output; pulumi, killed by the pipe, would leave its lock."""
    reader, writer = os.pipe()
    with subprocess.Popen(FILTER, cwd=Checkout.here().root, stdin=subprocess.PIPE, stdout=writer) as process:
        assert process.stdin
        os.close(writer)
        os.close(reader)
        for _ in range(3):
            process.stdin.write(b"a line\n" * 100_000)
            process.stdin.flush()
        process.stdin.close()
    assert process.returncode == 0
