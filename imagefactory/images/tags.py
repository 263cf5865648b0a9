"""The tags of custom images and of lab VMs: every name, and how values are written and read.

A custom image tells in its tags what it was made from. A lab VM's tags tell what is to become of it. Azure compares
names of tags without regard to case, and whoever owns a lab can write any value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from imagefactory.images.companions import FactoryImage
from imagefactory.images.lineage import MAX_TAG_VALUE, Lineage
from imagefactory.images.timestamps import only_reading

IMAGE_PATH_TAG, OS_STATE_TAG, IGNORE_TAG = "imagepath", "imageosstate", "factoryignore"
"""Tags of lab VMs as `by_lower_name` gives them; the first and the last are the old scripts'."""

DIGEST_TAG = "Digest"
"""What all ranges of the VHD hashed to. Only a copy by ranges knows it, and only once it is done, so `write` does not
write it."""

_IMAGE_PATH, _SOURCE_VHD, _SAVED_AT, _ATTEMPT = "ImagePath", "SourceVhd", "SavedAt", "Attempt"


@dataclass(frozen=True)
class ImageTags:
    """What the tags of a custom image tell."""

    image_path: str | None
    """As it is written there, so perhaps with backslashes; None: the factory did not make the image."""
    source_vhd: str | None
    """File name of the factory's VHD; images made by the old scripts have none."""
    saved_at: datetime | None
    """When that was saved, UTC; None: not told, or not readable."""
    attempt: int
    """The number of this attempt to make the image."""


def write(image: FactoryImage, attempt: int | None = None) -> dict[str, str]:
    """The tags of a custom image that is made from a factory image; `attempt` is told from the second one on."""
    tags = {
        _IMAGE_PATH: str(image.image_path),
        _SOURCE_VHD: image.vhd_name,
        _SAVED_AT: image.saved_at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **_lineage(image.lineage),
    }
    return tags if attempt is None else {**tags, _ATTEMPT: str(attempt)}


def read(tags: Mapping[str, object] | None) -> ImageTags:
    """The tags of a custom image as Azure lists them (None: it has none), whoever wrote them."""
    told = by_lower_name(tags)
    attempt = told.get(_ATTEMPT.lower(), "")
    return ImageTags(
        told.get(_IMAGE_PATH.lower()),
        told.get(_SOURCE_VHD.lower()),
        only_reading(told.get(_SAVED_AT.lower())),
        int(attempt) if attempt.isdecimal() else 1,
    )


def by_lower_name(tags: Mapping[str, object] | None) -> dict[str, str]:
    """Tags as Azure lists them, by their names in lower case."""
    return {name.lower(): str(value) for name, value in (tags or {}).items() if value is not None}


def _lineage(lineage: Lineage) -> dict[str, str]:
    """What is known and fits into a tag (Azure refuses a longer one, and then the image); a VM by its name."""
    told = {
        "SourceVm": lineage.vm.rpartition("/")[2],
        "SourceDisk": lineage.disk,
        "Commit": lineage.commit,
        "PipelineRun": lineage.pipeline_run,
    }
    return {tag: value for tag, value in told.items() if 0 < len(value) <= MAX_TAG_VALUE}
