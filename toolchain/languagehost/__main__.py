"""Entry point: `python <checkout>/toolchain/languagehost ENGINE_ADDRESS`, started by the engine.

Owns the import path and nothing else. The engine starts a host for every command, so start-up time counts: only the
SDK's message modules are loaded (0.2 s), not the SDK (0.6 s); the program's own process loads that.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # In place of this file's own folder, which Python put there.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    try:
        from localcloud.azure_native.sdk_messages import load_messages_without_sdk

        load_messages_without_sdk()
        from toolchain.languagehost.server import serve
    except ImportError as error:
        sys.exit(
            f"language host: {error}; programs cannot run. Set the environment up again: delete .venv, then "
            "`python3 dev.py setup`"
        )
    serve(sys.argv[-1])
