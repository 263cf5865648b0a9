"""Where things lie: the checkout, its private folder `.local`, the user's cache folder.

Owns paths, nothing else. What is private to a checkout lies under `.local` (mode 0700); what is big and the same for
every checkout lies in the cache.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

STACK = "local"
"""Name of the stack that dev.py runs."""


@dataclass(frozen=True)
class Checkout:
    """Paths of one working copy."""

    root: Path

    @classmethod
    def here(cls) -> Checkout:
        """The checkout that this module is part of."""
        return cls(Path(__file__).resolve().parents[1])

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """Interpreter of the environment, whether or not it is there yet."""
        return self.venv / "bin" / "python"

    @property
    def local(self) -> Path:
        """The private folder; made on first use."""
        path = self.root / ".local"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    @property
    def bin(self) -> Path:
        """Engine and language host of this checkout, where the engine was built here."""
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
    """The user's cache folder for this project; made on first use."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    path = (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "imagefactory"
    path.mkdir(parents=True, exist_ok=True)
    return path
