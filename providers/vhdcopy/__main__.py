"""Starts the plugin: `python providers/vhdcopy <engine address>`, as the language host calls it.

Of the SDK, loads the message modules alone: the engine starts the plugin for every preview and every run.
"""

import sys
from pathlib import Path

# The engine starts the plugin from source in the program's working directory: the checkout is not yet on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from imagefactory.sdk_messages import load_messages_without_sdk

if __name__ == "__main__":
    load_messages_without_sdk()
    from providers.vhdcopy.server import main

    main(sys.argv[1:])
