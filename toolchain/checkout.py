"""Paths of the checkout, its private folder `.local` and the user's cache folder.

Files of one checkout are in `.local` (mode 0700). Large files that all checkouts share are in the cache.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

STACK = "local"
"""The stack that dev.py runs."""


@dataclass(frozen=True)
class Checkout:
    """Paths of one working copy."""

    root: Path

    @classmethod
    def here(cls) -> Checkout:
        """Return the checkout that contains this module."""
        return cls(Path(__file__).resolve().parents[1])

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """Interpreter of the environment, which may not exist yet."""
        return self.venv / "bin" / "python"

    @property
    def local(self) -> Path:
        """The private folder; created on first use."""
        path = self.root / ".local"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    @property
    def bin(self) -> Path:
        """Engine and language host of this checkout, if the engine was built from source."""
        return self.local / "bin"

    @property
    def pulumi_home(self) -> Path:
        return self.local / "pulumi-home"

    @property
    def stacks(self) -> Path:
        """The engine's state (file backend)."""
        return self.local / "stacks"

    @property
    def cloud_state(self) -> Path:
        return self.local / "cloud"

    @property
    def default_seed(self) -> Path:
        return self.root / "localcloud" / "seeds" / "default.json"


def cache_folder() -> Path:
    """Return the user's cache folder for this project; create it on first use."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    path = (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "imagefactory"
    path.mkdir(parents=True, exist_ok=True)
    return path
