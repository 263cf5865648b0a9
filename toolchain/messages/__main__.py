"""Write docs/messages.md, or with `--check` say whether it is what the source says."""

from __future__ import annotations

import argparse
import sys

from toolchain.checkout import Checkout
from toolchain.messages.page import PAGE, page
from toolchain.progress import say


def main(arguments: list[str]) -> int:
    """Write or check the page. Return 1 if it is not as the source says."""
    parser = argparse.ArgumentParser(prog="python -m toolchain.messages", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the page is out of date")
    options = parser.parse_args(arguments)
    root = Checkout.here().root
    text, file = page(root), root / PAGE
    if not options.check:
        file.write_text(text, encoding="utf-8")
    elif not file.is_file() or file.read_text("utf-8") != text:
        say(f"{PAGE} is not what the source says. Run: python -m toolchain.messages")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
