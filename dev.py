#!/usr/bin/env python3
"""Set-up and the project's commands, with nothing installed but Python 3.10 or newer: `python3 dev.py --help`.

Owns the check that this machine can run them at all; everything else is in toolchain.
"""

import os
import sys

if sys.version_info < (3, 10):  # noqa: UP036 - whoever runs this has not been told yet what is needed
    sys.exit(
        "dev.py: this is Python {}.{}, and the image factory needs 3.10 or newer, so nothing was done. "
        "Run it with a newer one, for instance: python3.12 dev.py up".format(*sys.version_info)
    )
if os.name != "posix":
    sys.exit(
        "dev.py: the embedded cloud runs on Linux and macOS only, so there is no local stack here. On Windows use WSL; "
        "against real Azure the project runs on Windows too, with the official pulumi CLI (see README.md)."
    )

from toolchain.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
