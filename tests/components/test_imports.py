"""What the program imports before it knows its plan."""

from __future__ import annotations

import subprocess
import sys

_CODE = """
import sys
import components.distribution
print(*(name for name in sys.modules if name.startswith("pulumi_azure_native.compute.")))
"""


def test_the_types_of_galleries_are_read_only_by_a_program_that_has_one() -> None:
    """azure-native's module of them is large (69 modules with 3 MB of source) and lazy: importing the components reads
    none of it. An annotation that is evaluated, a base class or a default value of it would."""
    ended = subprocess.run([sys.executable, "-c", _CODE], check=True, capture_output=True, text=True)
    assert ended.stdout.split() == []
