"""Files of the state folder that only their owner may read: keys, ports, the daemon's address.

Owns how they are written (atomically, mode 0600). Knows nothing of what is in them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_private(path: Path, document: object) -> None:
    """Write JSON, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
    temporary.replace(path)


def read_private(path: Path) -> dict[str, Any]:
    """The JSON object at `path`; an empty one where there is none or where it is broken."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
