"""A world of one test: factory and labs with fresh names in the session's embedded cloud, and a stack that serves them.

Owns the steps that a user or Azure takes between two runs, and looks at what the cloud holds afterwards. Every name is
fresh, so tests do not meet although they share one cloud.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
import yaml
from azure.storage.blob import BlobServiceClient, generate_blob_sas

from localcloud.client import CloudClient
from tests.e2e import cloud_calls
from tests.e2e.cloud_calls import STAGING_CONTAINER as STAGING_CONTAINER
from tests.e2e.new_stack import CHECKPOINTS, ensure_stack, file_backend
from tests.warm.python import COLD, use_environment, warm_engine

ROOT = Path(__file__).resolve().parents[2]
FACTORY_CONTAINER = "imagefactoryvhds"
MANIFEST = ".ranges.json.gz"
RANGES = 4096
"""More ranges than a VHD of the tests has."""
STACK = "test"
UP = ("up", "--yes", "--skip-preview", "--continue-on-error", "--parallel", "128")
"""`pulumi up` as the pipeline calls it."""
VERBS = ("adopt", "plan", "status")
"""What `imagefactory` does, not `pulumi`."""
PROGRAM = ("Pulumi.yaml", "__main__.py", "components", "imagefactory", "providers/__init__.py")
"""What of the checkout a project needs; a world is a project of its own, with its own configuration and stack."""
PLUGIN = "providers/vhdcopy"
"""The plugin, which looks for its environment two folders above its own: file by file, so that it finds the world's."""
MIB = 1024 * 1024

_CHANGE = re.compile(r"(?m)^\s+(?:[^\s\w]+ )?(\d+) (created|updated|deleted|replaced|imported|unchanged|to \w+)")


@dataclass(frozen=True)
class Run:
    """What a command did: exit code, output, and the counts of its summary (`created`, `unchanged`, ...)."""

    code: int
    output: str
    changes: Counter[str]

    @property
    def only_unchanged(self) -> bool:
        return self.code == 0 and set(self.changes) <= {"unchanged"}


@dataclass(frozen=True)
class Lab:
    """A target lab of this world."""

    name: str
    subscription: str
    account: str
    group: str = "labs"

    @property
    def id(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.DevTestLab/labs/{self.name}"
        )


@dataclass
class World:
    """Factory, labs, configuration folder and stack of one test."""

    cloud: CloudClient
    environment: Mapping[str, str]
    accounts: Iterator[str]
    folder: Path
    python: Path = COLD
    """Runs the program, its plugin and the commands; a signal or a kill ends what it runs."""
    subscription: str = field(default_factory=lambda: str(uuid.uuid4()))
    stack: str = STACK
    """The stack of the runs; a test may go on with another one, which has the same configuration and settings."""
    labs: dict[str, Lab] = field(default_factory=dict)
    wishes: dict[str, list[str]] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    """Name of each factory image -> file name of its VHD."""
    origins: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Name of each factory image that ever was -> image path and day."""
    services: dict[str, BlobServiceClient] = field(default_factory=dict)
    """By storage account."""
    checkpoints: bool | None = None
    """Whether the engine writes the state at each step; None: it does in runs that may be killed."""

    def __post_init__(self) -> None:
        self.factory = Lab("factory", self.subscription, next(self.accounts), "factory")
        self.settings: dict[str, object] = {}
        (self.folder / "Configuration" / "GoldenImages").mkdir(parents=True)
        (self.folder / "stacks").mkdir()
        (self.folder / PLUGIN).mkdir(parents=True)
        for name in (*PROGRAM, *(f"{PLUGIN}/{file.name}" for file in (ROOT / PLUGIN).iterdir())):
            (self.folder / name).symlink_to(ROOT / name)
        self._seed_lab(self.factory)
        self.service(self.factory).create_container(FACTORY_CONTAINER)
        self.environment = {**self.environment, "PULUMI_BACKEND_URL": file_backend(self.folder / "stacks")}

    # What the user and Azure do.

    def add_lab(
        self,
        name: str,
        *paths: str,
        subscription: str | None = None,
        region: str = "westeurope",
        account: str | None = None,
        group: str = Lab.group,
    ) -> Lab:
        """A new lab, to which labs.json gives `paths` (none: it is not named there); `account` may be another lab's."""
        key = name if group == Lab.group else f"{group}/{name}"
        self.labs[key] = lab = Lab(name, subscription or self.subscription, account or next(self.accounts), group)
        self._seed_lab(lab, region)
        if paths:
            self.wishes[key] = list(paths)
        return lab

    def add_images(self, *wanted: tuple[str, int], size: int = 16 * MIB, allocated: int = 0) -> list[str]:
        """Factory images (image path, day of June 2026), made by an earlier save; returns their names."""
        names, documents = [], []
        for path, day in wanted:
            stem = path.removesuffix(".json").replace("/", "_")
            name = f"{stem}-Jun-{day}-2026"
            vhd = f"{uuid.uuid4()}.vhd"
            names.append(name)
            self.images[name] = vhd
            self.origins[name] = (path, day)
            documents.append(
                {
                    "subscriptionId": self.subscription,
                    "lab": self.factory.name,
                    "vhd": vhd,
                    "sizeBytes": size,
                    "allocatedBytes": allocated,
                    "files": {"etc/image": name},
                    "companion": {
                        "imageName": name,
                        "imagePath": path.replace("/", "\\"),
                        "description": f"{path} of day {day}",
                        "osType": "Linux" if "Ubuntu" in path else "Windows",
                        "vhdFileName": vhd,
                        "timestamp": f"2026-06-{day:02} 10:11:12",
                    },
                    "companionEncoding": "utf-16",
                }
            )
            self.define(path)
        self.cloud.seed({"factoryImages": documents})
        return names

    def rebuild(self, name: str) -> None:
        """The factory image of that name is replaced by one of another VHD."""
        path, day = self.origins[name]
        self.retire(name)
        self.add_images((path, day))

    def define(self, path: str) -> None:
        """A golden image in the configuration folder."""
        golden = self.folder / "Configuration" / "GoldenImages" / path
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text("{}", encoding="utf-8")

    def retire(self, name: str) -> None:
        """Delete a factory image: companion first, then the VHD."""
        vhd = self.images.pop(name)
        container = self.service(self.factory).get_container_client(FACTORY_CONTAINER)
        container.delete_blob(vhd.replace(".vhd", ".json"))
        container.delete_blob(vhd)

    def seed_standing(self, lab: Lab, name: str, tags: Mapping[str, str], state: str = "Succeeded") -> None:
        """A custom image that somebody else made in the lab."""
        self.seed_images(lab, {"name": name, "tags": dict(tags), "provisioningState": state, "osType": "Windows"})

    def seed_images(self, lab: Lab, *images: Mapping[str, object]) -> None:
        """Custom images in the lab, as a seed document describes them."""
        self._seed_lab(lab, images=images)

    def move_lab(self, lab: Lab, *, group: str | None = None, subscription: str | None = None) -> Lab:
        """The lab moves with its account and images to another resource group or subscription; returns it there."""
        moved = replace(lab, group=group or lab.group, subscription=subscription or lab.subscription)
        place = {"to_group": moved.group, "to_subscription": moved.subscription}
        self.cloud.move_lab(lab.subscription, lab.group, lab.name, **place)
        if lab == self.factory:
            self.factory = moved
        else:
            self.labs[lab.name] = moved
        return moved

    def put_image(self, lab: Lab, name: str, vhd_url: str) -> None:
        """Begin to make a custom image from a VHD, as somebody else."""
        vhd = {"imageName": vhd_url, "osType": "Windows", "sysPrep": True}
        self._arm("PUT", f"{lab.id}/customimages/{name}", {"properties": {"vhd": vhd}})

    def delete_image(self, lab: Lab, name: str) -> None:
        """Delete a custom image by hand."""
        self._arm("DELETE", f"{lab.id}/customimages/{name}")

    # Runs.

    def up(self, *arguments: str) -> Run:
        """`pulumi up`, however it ends."""
        return self.pulumi(*UP, *arguments)

    def serve(self, *arguments: str) -> Run:
        """`pulumi up` that ends well."""
        run = self.up(*arguments)
        assert run.code == 0, run.output
        return run

    def preview(self, *arguments: str) -> Run:
        """`pulumi preview`."""
        return self.pulumi("preview", *arguments)

    def adopt(self, *arguments: str) -> Run:
        """`imagefactory adopt`, however it ends; without a prompt."""
        return self.pulumi("adopt", *(arguments or ("--yes",)))

    def destroy(self) -> Run:
        """`pulumi destroy`."""
        return self.pulumi("destroy", "--yes", "--skip-preview", "--parallel", "128")

    def pulumi(self, *arguments: str, timeout: float = 110) -> Run:
        """A pulumi command on this world's stack."""
        process = self.start(*arguments, **CHECKPOINTS[bool(self.checkpoints)])
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise AssertionError(f"pulumi {' '.join(arguments)} did not end:\n{output}") from None
        changes = Counter({kind: int(count) for count, kind in _CHANGE.findall(output)})
        return Run(process.returncode, output, changes)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """A pulumi command in its own process group, not waited for: it may be killed."""
        self.write_configuration()
        ensure_stack(self.folder, self.stack, self.environment)
        use_environment(self.folder / ".venv", self.python)
        command = ["pulumi", "--non-interactive", "--color", "never"]
        if arguments[0] in VERBS:
            command = [str(self.python), "-c", "from imagefactory.cli.main import main; main()"]
        return subprocess.Popen(
            [*command, arguments[0], "--stack", self.stack, *arguments[1:]],
            cwd=self.folder,
            env={
                **warm_engine(self.environment, self.python),
                **CHECKPOINTS[self.checkpoints is not False],
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def lose_state(self) -> None:
        """The whole state is gone; the stack is made anew at the next run."""
        for path in sorted((self.folder / "stacks").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def state(self) -> dict[str, Any]:
        """The stack's deployment as the backend keeps it."""
        (file,) = (self.folder / "stacks").rglob(f"stacks/*/{self.stack}.json")
        return dict(json.loads(file.read_text(encoding="utf-8"))["checkpoint"]["latest"])

    # What the cloud holds.

    def held(self, lab: Lab) -> dict[str, str]:
        """The custom images of a lab: name -> provisioning state."""
        listed = self._arm("GET", f"{lab.id}/customimages")
        return {image["name"]: image["properties"]["provisioningState"] for image in listed["value"]}

    def image(self, lab: Lab, name: str) -> dict[str, Any]:
        """A custom image as ARM answers it."""
        return self._arm("GET", f"{lab.id}/customimages/{name}")

    def staged(self, lab: Lab) -> list[str]:
        """The staged VHDs in a lab's storage account."""
        container = self.service(lab).get_container_client(STAGING_CONTAINER)
        return [blob.name for blob in container.list_blobs()] if container.exists() else []

    def bytes_of(self, lab: Lab, container: str, name: str) -> bytes:
        """A blob's content."""
        return bytes(self.service(lab).get_blob_client(container, name).download_blob().readall())

    def readable_url(self, lab: Lab, container: str, name: str) -> str:
        """A blob's URL with a SAS for an hour, made with the account's key."""
        blob = self.service(lab).get_blob_client(container, name)
        key, end = blob.credential.account_key, datetime.now(timezone.utc) + timedelta(hours=1)
        sas = generate_blob_sas(lab.account, container, name, account_key=key, permission="r", expiry=end)
        return f"{blob.url}?{sas}"

    def factory_digest(self) -> str:
        """A digest of everything that was saved in the factory's container: names, contents, metadata.

        Without the ranges manifests, which the first copy of an image may leave there.
        """
        container = self.service(self.factory).get_container_client(FACTORY_CONTAINER)
        digest = hashlib.sha256()
        for blob in container.list_blobs(include=["metadata"]):
            if blob.name.endswith(MANIFEST):
                continue
            content = container.download_blob(blob.name).readall()
            digest.update(repr((blob.name, blob.size, blob.metadata, hashlib.sha256(content).hexdigest())).encode())
        return digest.hexdigest()

    def copies(self) -> int:
        """How many staged VHDs were begun in this world's target labs since the journal was cleared."""
        return cloud_calls.copies(self.cloud, STAGING_CONTAINER, (lab.account for lab in self.labs.values()))

    def writes(self, lab: Lab) -> list[tuple[str, str, int]]:
        """The calls that write custom images of a lab since the journal was cleared: method, image, status (0: cut)."""
        return cloud_calls.writes(self.cloud, lab.id)

    def service(self, lab: Lab) -> BlobServiceClient:
        """The blob service of a lab's storage account, with its key."""
        if lab.account not in self.services:
            self.services[lab.account] = cloud_calls.blob_service(self.cloud, self.status, lab.account)
        return self.services[lab.account]

    def sources(self, lab: Lab) -> dict[str, tuple[str, str]]:
        """The images of the factory that stand whole in a lab: VHD that each was made from -> image path, name."""
        listed = self._arm("GET", f"{lab.id}/customimages")["value"]
        return {
            image["tags"]["SourceVhd"]: (image["tags"]["ImagePath"], image["name"])
            for image in listed
            if image["properties"]["provisioningState"] == "Succeeded" and "SourceVhd" in image.get("tags", {})
        }

    def damage(self, name: str, content: bytes = bytes(512), sector: int | None = None) -> None:
        """Overwrite the footer of a factory image's VHD, so that no lab can get it, or the `sector` of that number."""
        blob = self.service(self.factory).get_blob_client(FACTORY_CONTAINER, self.images[name])
        offset = blob.get_blob_properties().size - 512 if sector is None else sector * 512
        blob.upload_page(content, offset, 512)

    def wanted(self, paths: Iterable[str]) -> set[str]:
        """The names of the factory images whose path lies under one of `paths`."""
        stems = [path.removesuffix(".json").replace("/", "_") for path in paths]
        return {name for name in self.images if any(name.startswith(stem) for stem in stems)}

    def _seed_lab(self, lab: Lab, region: str = "westeurope", images: Iterable[Mapping[str, object]] = ()) -> None:
        entry: dict[str, object] = {"name": lab.name, "resourceGroup": lab.group, "region": region}
        entry |= {"storageAccount": lab.account, "images": list(images)}
        self.cloud.seed({"subscriptions": [{"subscriptionId": lab.subscription, "labs": [entry]}]})

    def write_configuration(self) -> None:
        """The configuration folder and the stack's file, as a run would find them now."""
        labs = [self.entry(key) for key in self.wishes]
        (self.folder / "Configuration" / "labs.json").write_text(json.dumps({"Labs": labs}), encoding="utf-8")
        settings = {
            "imagefactory:cloud": "custom",
            "imagefactory:factory": {"subscriptionId": self.factory.subscription, "labName": self.factory.name},
            **{f"imagefactory:{name}": value for name, value in self.settings.items()},
        }
        file = self.folder / f"Pulumi.{self.stack}.yaml"
        document = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
        whole = file.with_name(f"{uuid.uuid4()}.unfinished")  # another run of this world may read it meanwhile
        whole.write_text(yaml.safe_dump({**document, "config": settings}), encoding="utf-8")
        whole.replace(file)

    def entry(self, key: str) -> dict[str, object]:
        """An entry of labs.json; with the resource group if the key has it, or that of another entry for a namesake."""
        lab, twins = self.labs[key], [other for other in self.wishes if other.endswith(f"/{key}")]
        own = {"LabName": key.rpartition("/")[2]} | ({"ResourceGroup": lab.group} if twins or "/" in key else {})
        return {"SubscriptionId": lab.subscription, **own, "ImagePaths": self.wishes[key]}

    def _arm(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return cloud_calls.whole(self.status, method, path, body)

    @cached_property
    def status(self) -> dict[str, Any]:
        """The status of the cloud, which is long: its endpoints and identity stay. Accounts may be added."""
        return self.cloud.status()

    def request(self, method: str, target: str, body: Any = None) -> requests.Response:
        """One call of the resource manager; `target` is a path with its query, or a link that it gave."""
        return cloud_calls.request(self.status, method, target, body)
