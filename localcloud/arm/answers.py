"""How the resource manager answers about custom images, where records and publications of Azure differ.

Recorded of DevTest Labs (API version 2018-09-15): no `location`, whatever the PUT had, and ids in the service's own
casing. Published: its examples have a `location`, and the documented form of a resource id is
`/subscriptions/{}/resourceGroups/{}/providers/Microsoft.DevTestLab/...`. A policy of effect `modify` can add tags to
every image (documentation of Azure Policy); that it replaces the same tags of an image is one of its two forms.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from localcloud.fault_rules import Settings


class Answers(Settings):
    """The form of all answers about custom images."""

    custom_image_answers: Literal["recorded", "published"] = "recorded"
    policy_tags: dict[str, str] = Field(default_factory=dict)
    """Tags that a policy adds to every custom image; they replace the image's own of the same name."""
