"""A factory to prune: images of the old scripts and of `save`, files of terminated saves, staged VHDs.

Creates these blobs, and runs the command. Does not assert results: tests query the cloud.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml
from azure.storage.blob import BlobClient, ContainerClient

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.copying.copier import SOURCE, STATE, USERS, WHOLE, user_of
from imagefactory.images.companions import FactoryImage, companion_bytes, companion_metadata
from localcloud.vhd import footer
from tests.e2e.world import FACTORY_CONTAINER, MANIFEST, MIB, ROOT, STACK, STAGING_CONTAINER, Lab, World
from tests.factory_lab.factory_world import UBUNTU, WINDOWS, Ended
from tests.warm.python import COLD

LENGTH = MIB + 512
DAYS = timedelta(days=3)
"""Default age of all blobs when a prune runs."""


@dataclass
class PruneWorld:
    """A factory, and the lab `web`, which takes all images."""

    world: World

    def __post_init__(self) -> None:
        self.lab = self.world.add_lab("web", "Win2016", "Ubuntu")
        for path in (WINDOWS, UBUNTU):
            self.world.define(path)
        self.stack()

    # The blobs.

    def stack(self, name: str = STACK, **settings: object) -> Path:
        """Write a stack of this factory; `labs` names its labs file."""
        labs = [self.world.entry(key) for key in self.world.labs]
        (self.world.folder / "Configuration" / "labs.json").write_text(json.dumps({"Labs": labs}), encoding="utf-8")
        values = {
            "cloud": "custom",
            "factory": {"subscriptionId": self.world.subscription, "labName": self.world.factory.name},
            **settings,
        }
        file = self.world.folder / f"Pulumi.{name}.yaml"
        config = {f"imagefactory:{key}": value for key, value in values.items() if value is not None}
        file.write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
        return file

    def image(self, day: int, path: str = WINDOWS, **changes: Any) -> FactoryImage:
        """Create an image like `save`, on a day of June 2026."""
        guid = str(uuid.uuid4())
        image = FactoryImage(
            name=f"{path.removesuffix('.json').replace('/', '_')}-Jun-{day}-2026",
            image_path=ImagePath.parse(path),
            description="",
            author="",
            os_type="Windows",
            generalized=True,
            saved_at=datetime(2026, 6, day, tzinfo=timezone.utc),
            saved_at_source="companion",
            vhd_name=f"{guid}.vhd",
            length=LENGTH,
            created=datetime.now(timezone.utc),
        )
        image = replace(image, **changes)
        self.vhd(image.vhd_name, companion_metadata(image))
        self.document(f"{guid}.json", companion_bytes(image))
        return image

    def old_image(self, day: int, path: str = WINDOWS, **changes: object) -> str:
        """Create an image like the PowerShell scripts: UTF-16, backslashes, a date in the agent's culture."""
        guid = str(uuid.uuid4())
        companion = {
            "imageName": f"{path.removesuffix('.json').replace('/', '_')}-Jun-{day}-2026",
            "imagePath": path.replace("/", "\\"),
            "description": "",
            "osType": "Windows",
            "vhdFileName": f"{guid}.vhd",
            "timestamp": f"6/{day}/2026 10:11:12 AM",
            **changes,
        }
        self.vhd(f"{guid}.vhd")
        self.document(f"{guid}.json", json.dumps(companion).encode("utf-16"))
        return f"{guid}.vhd"

    def vhd(self, name: str, metadata: Mapping[str, str] | None = None) -> BlobClient:
        """Create a fixed VHD in the factory's container."""
        blob = self.factory.get_blob_client(name)
        blob.create_page_blob(LENGTH, metadata=dict(metadata or {}))
        blob.upload_page(footer(MIB, uuid.uuid4()), MIB, 512)
        return blob

    def document(self, file: str, content: bytes = b"", **metadata: str) -> BlobClient:
        """Create another blob there."""
        return self.factory.upload_blob(file, content, metadata=metadata)

    def saved_extras(self, image: FactoryImage) -> set[str]:
        """Add manifests, a data disk and the files of a terminated save to an image; return their names."""
        guid = image.vhd_name.removesuffix(".vhd")
        self.vhd(f"{guid}.lun0.vhd")
        self.document(f"{guid}{MANIFEST}", b"", allocated="4096")
        self.document(f"{guid}.lun0{MANIFEST}", b"", allocated="512")
        self.document(f"{guid}.save", name=image.name)
        self.document(f"{image.name}.name", guid=guid)
        extras = ("lun0.vhd", "ranges.json.gz", "lun0.ranges.json.gz", "save")
        return {f"{image.name}.name", *(f"{guid}.{each}" for each in extras)}

    def stage(
        self, vhd_name: str, *image_ids: str, lab: Lab | None = None, source: str | None = None, recorded: bool = False
    ) -> str:
        """Create a complete staged VHD in a lab's account, for custom images by their ARM ids."""
        container = self.staging(lab or self.lab)
        if not container.exists():
            container.create_container()
        source = source or f"{self.factory.url}/{vhd_name}"
        metadata = {SOURCE: source, STATE: WHOLE, USERS: ",".join(map(user_of, image_ids))}
        container.get_blob_client(vhd_name).create_page_blob(
            LENGTH, metadata={key: value for key, value in metadata.items() if value}
        )
        if recorded:
            container.upload_blob(vhd_name.replace(".vhd", MANIFEST), b"")
        return vhd_name

    # The state of the cloud.

    @property
    def factory(self) -> ContainerClient:
        """The factory's container."""
        return self.world.service(self.world.factory).get_container_client(FACTORY_CONTAINER)

    def staging(self, lab: Lab) -> ContainerClient:
        """Return the container of staged VHDs of a lab."""
        return self.world.service(lab).get_container_client(STAGING_CONTAINER)

    def held(self) -> set[str]:
        """Return the names of all blobs of the factory."""
        return {blob.name for blob in self.factory.list_blobs()}

    def deletes(self) -> list[str]:
        """Return the paths of the factory's blobs whose deletion was requested, in order."""
        paths = [call["path"] for call in self.world.cloud.calls() if call["method"] == "DELETE"]
        return [path for path in paths if f"/{self.world.factory.account}/" in path]

    # The command.

    def prune(self, *arguments: str, now: datetime | None = None, stack: str = STACK) -> Ended:
        """Run the command, by default at a time when all blobs are old."""
        done = self.start(*arguments, now=now, stack=stack)
        out, err = done.communicate(timeout=60)
        return Ended(done.returncode, out, err)

    def start(self, *arguments: str, now: datetime | None = None, stack: str = STACK) -> subprocess.Popen[str]:
        """Start the command, without a terminal; it can be killed."""
        return self._start(self.command(*arguments, now=now, stack=stack, python=self.world.python))

    def _start(self, command: Sequence[str | Path]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.world.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def command(
        *arguments: str, now: datetime | None = None, stack: str = STACK, python: Path = COLD
    ) -> list[str | Path]:
        """Return its command line."""
        then = (now or datetime.now(timezone.utc) + DAYS).isoformat()
        return [python, "-m", "tests.factory_lab.prune.later", then, "prune", "--stack", stack, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the command."""
        return {**self.world.environment, "PYTHONPATH": os.fspath(ROOT)}


def images_of(*images: FactoryImage) -> set[str]:
    """Return the two files of each image."""
    return {name for image in images for name in (image.vhd_name, image.vhd_name.replace(".vhd", ".json"))}
