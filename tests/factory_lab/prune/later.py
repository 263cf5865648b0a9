"""`imagefactory` with the clock of `prune` set forward, because tests cannot create blobs of yesterday.

Run as `python -m tests.factory_lab.prune.later <ISO time> <arguments of imagefactory>`.
"""

from __future__ import annotations

import sys
from datetime import datetime

import imagefactory.cli.prune
from imagefactory.cli.main import main

if __name__ == "__main__":
    then = datetime.fromisoformat(sys.argv.pop(1))
    imagefactory.cli.prune.now = lambda: then
    main()
