"""Entry point: `python <checkout>/toolchain/languagehost ENGINE_ADDRESS`, started by the engine.

Sets the import path. The engine starts a host for every command, so startup must be fast: loads only the SDK's message
modules (0.2 s), not the SDK (0.6 s), which the program's own process loads.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Replaces this file's own folder.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    try:
        from imagefactory.sdk_messages import load_messages_without_sdk

        load_messages_without_sdk()
        from toolchain.languagehost.server import serve
    except ImportError as error:
        sys.exit(
            f"language host: {error}; programs cannot run. Recreate the environment: delete .venv, then run "
            "`python3 dev.py setup`"
        )
    serve(sys.argv[-1])
