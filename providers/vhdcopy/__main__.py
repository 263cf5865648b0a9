"""Starts the plugin: `python providers/vhdcopy <engine address>`, as the language host calls it."""

import sys
from pathlib import Path

# The engine starts the plugin from source in the program's working directory: the checkout is not yet on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from providers.vhdcopy.server import main

if __name__ == "__main__":
    main(sys.argv[1:])
