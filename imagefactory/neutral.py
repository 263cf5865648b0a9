"""A filter, `python -m imagefactory.neutral`: removes secrets and build agent commands from the output of programs.

Ignores signals and reads until the input ends, because a program whose reader exits is killed when it writes. If its
own reader exits, as an agent does that cancels a step, it goes on reading, so that pulumi can release its lock.
"""

from __future__ import annotations

import os
import signal
import sys

from imagefactory.plain_text import printable_lines, redacted


def main() -> None:
    """Filter standard input to standard output, line by line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        shown = printable_lines(redacted(line.decode(errors="backslashreplace")))
        try:
            sys.stdout.buffer.write(shown.encode() + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
