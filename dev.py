#!/usr/bin/env python3
"""Setup and the project's commands. Needs only Python 3.10 or newer: `python3 dev.py --help`.

Checks that this machine can run them; everything else is in toolchain.
"""

import os
import sys

if sys.version_info < (3, 10):  # noqa: UP036 - the user may not have read what is needed
    sys.exit(
        "dev.py: this is Python {}.{}, but the image factory needs 3.10 or newer; nothing was changed. "
        "Run it with a newer version, for example: python3.12 dev.py up".format(*sys.version_info)
    )
if os.name != "posix":
    sys.exit(
        "dev.py: the embedded cloud runs only on Linux and macOS, so the local stack cannot run here. On Windows, use "
        "WSL. On real Azure, the project also runs on Windows, with the official pulumi CLI (see README.md)."
    )

from toolchain.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
