"""Where the expected answers come from."""

from __future__ import annotations

from typing import Literal

Source = Literal["recorded", "published", "assumed", "measured"]
"""Where an expected answer comes from: seen on Azure's wire by others, documented, a guess, or seen by a run."""
RECORDED: Source = "recorded"
PUBLISHED: Source = "published"
ASSUMED: Source = "assumed"
MEASURED: Source = "measured"
