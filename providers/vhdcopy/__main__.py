"""The start of the plugin: `python providers/vhdcopy <engine address>`, as the language host calls it."""

import sys
from pathlib import Path

# The engine starts the plugin from source with the program's working directory, so the siblings are not importable yet.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from providers.vhdcopy.server import main

if __name__ == "__main__":
    main(sys.argv[1:])
