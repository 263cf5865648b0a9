"""A filter, `python -m imagefactory.neutral`: what other programs print, without secrets and without commands of a
build agent.

Owns the stream. It reads to the end, whatever signal comes: a program whose reader ends is killed as it writes.
"""

from __future__ import annotations

import signal
import sys

from imagefactory.plain_text import printable_lines, redacted


def main() -> None:
    """Pass on standard input, line by line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        shown = printable_lines(redacted(line.decode(errors="backslashreplace")))
        sys.stdout.buffer.write(shown.encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
