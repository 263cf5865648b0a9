"""JSON files of the state folder (keys, ports, endpoints): written atomically, readable by the owner only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_private(path: Path, document: object) -> None:
    """Write JSON atomically, with mode 0600."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
    temporary.replace(path)


def read_private(path: Path) -> dict[str, Any]:
    """Return the JSON object at `path`; an empty one if the file is missing or broken."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
