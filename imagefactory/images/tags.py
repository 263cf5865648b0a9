"""The tags of custom images and of lab VMs: all names, and how their values are written and read.

The tags of a custom image record its source; the tags of a lab VM control its save. Azure compares the names of tags
case-insensitively, and the owner of a lab can write any value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.images.companions import FactoryImage
from imagefactory.images.lineage import MAX_TAG_VALUE, Lineage
from imagefactory.images.timestamps import only_reading

IMAGE_PATH_TAG, OS_STATE_TAG, IGNORE_TAG = "imagepath", "imageosstate", "factoryignore"
"""Tags of lab VMs as `by_lower_name` returns them; the first and the last are also those of the older scripts."""

DIGEST_TAG = "Digest"
"""The digest of all ranges of the VHD. Only a copy by ranges has it, and only after it finishes, so `write` does not
write it."""

_IMAGE_PATH, _SOURCE_VHD, _SAVED_AT, _ATTEMPT, _STACK = "ImagePath", "SourceVhd", "SavedAt", "Attempt", "Stack"

_STACK_FORM = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")
"""`project/stack`, of what Pulumi accepts as a name of either. So a tag of that name with another meaning is ignored,
and a message with a command contains no text that a shell would interpret."""


@dataclass(frozen=True)
class ImageTags:
    """The tags of a custom image, parsed."""

    image_path: str | None
    """As written, so possibly with backslashes; None: the factory did not create the image."""
    source_vhd: str | None
    """File name of the factory's VHD; images of the older scripts have none."""
    saved_at: datetime | None
    """When that VHD was saved, UTC; None: missing or invalid."""
    attempt: int
    """The number of this attempt to create the image."""
    stack: str | None = None
    """The stack (`project/stack`) that created the image; None: missing, or not of that form."""


def write(image: FactoryImage, attempt: int | None = None, stack: str = "") -> dict[str, str]:
    """Return the tags of a custom image created from a factory image; pass `attempt` from the second attempt on.

    `stack`: `project/stack`; empty: no such tag.
    """
    tags = {
        _IMAGE_PATH: str(image.image_path),
        _SOURCE_VHD: image.vhd_name,
        _SAVED_AT: image.saved_at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **_lineage(image.lineage),
        **_fitting({_STACK: stack}),
    }
    return tags if attempt is None else {**tags, _ATTEMPT: str(attempt)}


def of_definition(path: ImagePath, stack: str) -> dict[str, str]:
    """Return the tags of a gallery definition: what its versions have in common."""
    return {_IMAGE_PATH: str(path), **_fitting({_STACK: stack})}


def read(tags: Mapping[str, object] | None) -> ImageTags:
    """Parse the tags of a custom image as Azure lists them (None: it has none). Accepts any values."""
    values = by_lower_name(tags)
    attempt = values.get(_ATTEMPT.lower(), "")
    return ImageTags(
        values.get(_IMAGE_PATH.lower()),
        values.get(_SOURCE_VHD.lower()),
        only_reading(values.get(_SAVED_AT.lower())),
        int(attempt) if attempt.isdecimal() else 1,
        stack if _STACK_FORM.fullmatch(stack := values.get(_STACK.lower(), "")) else None,
    )


def by_lower_name(tags: Mapping[str, object] | None) -> dict[str, str]:
    """Return tags as Azure lists them, by their names in lower case."""
    return {name.lower(): str(value) for name, value in (tags or {}).items() if value is not None}


def _lineage(lineage: Lineage) -> dict[str, str]:
    """Return what is known and fits into a tag; a VM by its name."""
    values = {
        "SourceVm": lineage.vm.rpartition("/")[2],
        "SourceDisk": lineage.disk,
        "Commit": lineage.commit,
        "PipelineRun": lineage.pipeline_run,
    }
    return _fitting(values)


def _fitting(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that have a value which fits: Azure rejects an image with a longer one."""
    return {tag: value for tag, value in tags.items() if 0 < len(value) <= MAX_TAG_VALUE}
