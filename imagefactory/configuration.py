"""The configuration folder as one value: target labs and golden images.

Owns reading it and the rules that need both sides. All faults are reported at once; only a syntax error hides others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imagefactory.faults import Fault
from imagefactory.golden_images import GoldenImage
from imagefactory.labs import TargetLab


@dataclass(frozen=True)
class Configuration:
    """What the user declared, free of errors."""

    labs: tuple[TargetLab, ...]
    golden_images: tuple[GoldenImage, ...]
    warnings: tuple[Fault, ...] = ()


def load_configuration(directory: Path, labs_file: str = "labs.json") -> Configuration:
    """Read the folder. Raises ConfigurationError with all faults (errors and warnings) if one of them is an error."""
    raise NotImplementedError
