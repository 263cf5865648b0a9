"""Where the expected answers come from."""

from __future__ import annotations

from typing import Literal

Source = Literal["recorded", "published", "assumed", "measured"]
"""Where an expected answer comes from: seen on Azure's wire by others; documented; a guess, or only what the emulator
does; seen by a run. It is about status, code and body. The header `retry-after` is the embedded cloud's own, so
that its clients need not wait."""
RECORDED: Source = "recorded"
PUBLISHED: Source = "published"
ASSUMED: Source = "assumed"
MEASURED: Source = "measured"
