"""Replaces a file by one with other content, so that readers see the old one or the new one, also after a kill.

Does not decide what to write.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def replace_whole(path: Path, content: bytes) -> None:
    """Replace the content of an existing file, or of the file that a link names; keep its mode. Raises OSError."""
    file = path.resolve()
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        shutil.copymode(file, temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
