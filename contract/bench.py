"""The bench of an experiment: names that carry the run, requests, things to experiment with, and what was observed."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from contract.forms import Forms
from contract.place import VERSIONS, Place
from contract.sources import Source
from contract.wire import STORAGE_SCOPE, Answer, ContractError, Wire

MIB = 1024 * 1024
VHD_BYTES = 32 * MIB
"""Azure wants disks of 20 MB or more. Only the footer of such a VHD is written."""
_ATTEMPTS, _LONGEST_WAIT, _LONGEST_OPERATION = 5, 60.0, 45 * 60.0


class Bench:
    """One experiment's requests and observations."""

    def __init__(self, place: Place, wire: Wire, run: str) -> None:
        self.place, self.wire, self.run = place, wire, run
        self.observations: dict[str, dict[str, Any]] = {}
        self.throttled: list[dict[str, Any]] = []
        """The forms of answers 429, which are waited for and asked again."""
        names = {
            place.cloud.resource_manager: "{resource manager}",
            place.blob: "{blob endpoint}",
            place.subscription: "{subscription}",
            place.group: "{group}",
            place.lab: "{lab}",
            place.account: "{account}",
            place.region: "{region}",
        }
        self.forms = Forms(names, self.prefix.rstrip("-"))

    # Names

    @property
    def prefix(self) -> str:
        """The start of the names of all that this run creates."""
        return f"contract-{self.run}-"

    def name(self, part: str) -> str:
        """Return a name that carries the run."""
        return f"{self.prefix}{part}"

    # Observations

    def saw(self, what: str, answer: Answer | None, source: Source, *, body: bool = True, **facts: Any) -> None:
        """Note an answer in its form, and facts about it; `source` is where the embedded cloud's answer comes from."""
        shown = self.forms.of(answer, body=body) if answer else {}
        self.observations[what] = {"source": source, **shown, **({"facts": facts} if facts else {})}

    def must(self, answer: Answer, *statuses: int) -> Answer:
        """Return an answer that the experiment needs. Raises ContractError for another status."""
        if answer.status not in (statuses or (200, 201, 202, 204)):
            raise ContractError(f"{answer.request}: returned {answer.status} {answer.code or ''}".strip())
        return answer

    # Resource manager

    def arm(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        versions: str = "labs",
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a call to the resource manager, by path or by URL of an answer; wait while it throttles."""
        url = path if path.startswith("http") else f"{self.place.cloud.resource_manager}{path}"
        if not url.startswith(f"{self.place.cloud.resource_manager}/"):
            raise ContractError(f"{method}: the service named a URL of another host; no token is sent there")
        if "api-version=" not in url:
            url += ("&" if "?" in url else "?") + urlencode({"api-version": VERSIONS[versions], **(query or {})})
        given = {"Content-Type": "application/json"}
        data = b"" if body is None else json.dumps(body).encode()
        for _ in range(_ATTEMPTS):
            answer = self.wire.send(method, url, self.place.cloud.scope, given, data)
            if answer.status != 429:
                break
            self.throttled.append(self.forms.of(answer))
            time.sleep(min(_number(answer.headers.get("retry-after"), 10.0), _LONGEST_WAIT))
        return answer

    def ended(self, started: Answer) -> Answer:
        """Poll the operation that an answer started until it ends; return the last answer. Raises ContractError."""
        url = started.headers.get("azure-asyncoperation")
        if url is None:
            return started
        deadline = time.monotonic() + _LONGEST_OPERATION
        while time.monotonic() < deadline:
            answer = self.must(self.arm("GET", url), 200)
            if (answer.json or {}).get("status") not in ("Running", "InProgress", "Accepted", "Pending"):
                return answer
            milliseconds = answer.headers.get("retry-after-ms")
            wait = _number(answer.headers.get("retry-after"), 10.0)
            time.sleep(min(_number(milliseconds, 0) / 1000 if milliseconds else wait, _LONGEST_WAIT))
        raise ContractError(f"{started.request}: its operation did not end within {_LONGEST_OPERATION / 60:.0f} min")

    def gallery_path(self, part: str) -> str:
        """Return the path of a gallery, whose name carries the run; the names of galleries have no dash."""
        name = self.name(part).replace("-", "_")
        return f"{self.place.group_id}/providers/Microsoft.Compute/galleries/{name}"

    def image_path(self, name: str) -> str:
        """Return the path of a custom image."""
        return f"{self.place.lab_id}/customimages/{quote(name, safe='')}"

    def put_image(self, name: str, url: str, *, tags: Mapping[str, str] | None = None, **more: Any) -> Answer:
        """PUT a custom image of the Linux VHD at a URL; `more` are properties, those of `vhd` in its object."""
        source = {"imageName": url, "osType": "Linux", "sysPrep": False, **more.pop("vhd", {})}
        body: dict[str, Any] = {"properties": {"vhd": source, **more}}
        if tags is not None:
            body["tags"] = dict(tags)
        return self.arm("PUT", self.image_path(name), body)

    def image(self, name: str, url: str, **more: Any) -> Answer:
        """Create a custom image and wait until it stands; return the first answer. Raises ContractError."""
        first = self.must(self.put_image(name, url, **more), 200, 201)
        last = self.ended(first)
        if last is not first and (last.json or {}).get("status") != "Succeeded":
            raise ContractError(f"custom image {name}: was not created ({(last.json or {}).get('error')})")
        return first

    # Blob service

    def blob(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        data: bytes = b"",
        *,
        scope: str | None = STORAGE_SCOPE,
        **query: str,
    ) -> Answer:
        """Send a call to the lab's storage account; `path` is that of a container or blob."""
        url = f"{self.place.blob}/{quote(path)}" + (f"?{urlencode(query)}" if query else "")
        if data:
            headers = {"Content-Type": "application/octet-stream", **(headers or {})}
        given = {"x-ms-version": self.place.storage_version, "Content-Length": str(len(data)), **(headers or {})}
        if method in ("GET", "HEAD"):
            del given["Content-Length"]
        return self.wire.send(method, url, scope, given, data)

    def container(self, part: str) -> str:
        """Create a container unless this run has it; return its name."""
        name = self.name(part)
        self.must(self.blob("PUT", name, restype="container"), 201, 409)
        return name

    def page_blob(self, path: str, size: int, **pages: bytes) -> str:
        """Create a page blob; `pages` are bytes by offset, such as `at0=...`. Return its URL."""
        headers = {"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": str(size)}
        self.must(self.blob("PUT", path, headers), 201)
        for offset, data in pages.items():
            self.must(self.put_page(path, int(offset.removeprefix("at")), data), 201)
        return f"{self.place.blob}/{path}"

    def put_page(self, path: str, offset: int, data: bytes, **headers: str) -> Answer:
        """Put Page."""
        given = {"x-ms-page-write": "update", "x-ms-range": span(offset, len(data)), **dashed(headers)}
        return self.blob("PUT", path, given, data, comp="page")

    def vhd(self, path: str) -> str:
        """Create an empty, valid, fixed VHD; return its URL."""
        return self.page_blob(path, VHD_BYTES + 512, **{f"at{VHD_BYTES}": vhd_footer(VHD_BYTES)})


def span(offset: int, length: int) -> str:
    """Return the value of a range header."""
    return f"bytes={offset}-{offset + length - 1}"


def dashed(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers whose names were written with `_`."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def vhd_footer(size: int) -> bytes:
    """Return the footer of a fixed VHD (Virtual Hard Disk Image Format Specification 1.0)."""
    cylinders = size // 512 // (4 * 17)
    fields = struct.pack(
        ">8sIIQI4sI4sQQHBBI",
        *(b"conectix", 2, 0x00010000, 0xFFFFFFFFFFFFFFFF, 0, b"ctrt", 0x00010000, b"Wi2k"),
        *(size, size, cylinders, 4, 17, 2),
    )
    rest = bytes(16).ljust(512 - len(fields) - 4, b"\0")
    return fields + struct.pack(">I", ~sum(fields + rest) & 0xFFFFFFFF) + rest


def _number(text: str | None, otherwise: float) -> float:
    return float(text) if text and text.isdigit() else otherwise
