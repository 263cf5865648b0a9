"""Answers that were recorded of Azure, compared with those of the embedded cloud: each header and each field.

`recorded_answers.json` contains the record: a custom image made from a virtual machine, and that machine (recorded
2024-09-09, API version 2018-09-15; trimmed, all ids are made up). Braces stand for what differs with each call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.localcloud.arm_world import IMAGES, SUBSCRIPTION, World, image_body, lab, machine, running

RECORD: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("recorded_answers.json").read_text("utf-8"))
FORMS = {
    "origin": r"http://127\.0\.0\.1:\d+",
    "subscription": SUBSCRIPTION,
    "guid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "date": r"20\d{6}",
    "time": r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00",
    "ticks": r"6\d{17}",
    "certificate": r"MII[\w-]{2600,2800}",
    "342 letters": r"[\w-]{342}",
    "43 letters": r"[\w-]{43}",
    "13 digits": r"\d{13}",
    "hex": r"[0-9a-f]+",
    "base64": r"[\w+/]+=*",
    "user": r"\S+@\S+",
}
TRIMMED = ("poll creation", "DELETE image", "poll deletion", "GET virtual machine")
"""Recorded with some of their headers only."""
DELIBERATE: list[tuple[str, tuple[str, ...], str]] = [
    ("without strict-transport-security", ("PUT image",), "it has no meaning over plain HTTP"),
    ("without x-ms-dtl-vm-formula-hash", ("GET virtual machine",), "the embedded cloud has no formulas"),
    ("without properties.vm", ("PUT image",), "the embedded cloud creates images from VHDs only"),
    ("with properties.vhd", ("PUT image",), "the embedded cloud creates images from VHDs only"),
    ("with retry-after", ("PUT image", "poll creation", "DELETE image"), "without it clients poll every 10 to 30 s"),
    ("with x-ms-request-id", tuple(RECORD), "documented for every answer of Azure Resource Manager"),
    ("with x-ms-correlation-request-id", tuple(RECORD), "documented for every answer of Azure Resource Manager"),
    ("with content-length", tuple(RECORD), "added by the HTTP server"),
    ("with date", tuple(RECORD), "added by the HTTP server"),
    ("with server", tuple(RECORD), "added by the HTTP server"),
    ("with content-type", ("poll deletion", "GET virtual machine"), "recorded of the first poll"),
    ("with cache-control", TRIMMED, "recorded of the PUT"),
    ("with expires", TRIMMED, "recorded of the PUT"),
    ("with pragma", TRIMMED, "recorded of the PUT"),
    ("with x-content-type-options", TRIMMED, "recorded of the PUT"),
    ("with x-ms-ratelimit-remaining-subscription-global-reads", ("poll deletion",), "recorded of the first poll"),
]
"""What the embedded cloud answers differently on purpose: how, in which answers, and why."""


def compare(recorded: Any, answered: Any, path: str = "") -> Iterator[str]:
    """The differences of two JSON values: what is missing, what is added, what has another form."""
    if isinstance(recorded, dict) and isinstance(answered, dict):
        for key in sorted(recorded.keys() | answered.keys()):
            place = f"{path}.{key}" if path else key
            if key not in answered:
                yield f"without {place}"
            elif key not in recorded:
                yield f"with {place}"
            else:
                yield from compare(recorded[key], answered[key], place)
    elif not fits(recorded, answered):
        yield f"other {path}: {answered!r}"


def fits(recorded: Any, answered: Any) -> bool:
    """Whether a value has the recorded form."""
    if not (isinstance(recorded, str) and isinstance(answered, str)):
        return type(recorded) is type(answered) and recorded == answered
    parts = enumerate(re.split(r"\{([^{}]+)\}", recorded))
    form = "".join(FORMS[part] if index % 2 else re.escape(part) for index, part in parts)
    return re.fullmatch(form, answered) is not None


async def answers_of(world: World) -> dict[str, tuple[int, Any, dict[str, str]]]:
    """The same calls to the embedded cloud: status, body, headers."""
    labs = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/labtest/providers/Microsoft.DevTestLab/labs/lab1"
    image = f"{labs}/customimages/image1"
    world.slow(image_create_seconds=600)
    put = await world.call("PUT", image, json=image_body(world.blobs.put_vhd("targetone", "a.vhd")))
    polled = await world.call("GET", put[2]["azure-asyncoperation"])
    deleted = await world.call("DELETE", image)
    return {
        "PUT image": put,
        "poll creation": polled,
        "DELETE image": deleted,
        "poll deletion": await world.call("GET", deleted[2]["azure-asyncoperation"]),
        "GET virtual machine": await world.call("GET", f"{labs}/virtualmachines/linuxvm1"),
    }


async def test_the_embedded_cloud_answers_as_recorded_of_azure() -> None:
    """Status, headers and fields are those of the record, except for the deliberate differences, which all exist."""
    about = {"resourceGroup": "labtest", "region": "westus", "virtualMachines": [machine("linuxvm1", osType="Linux")]}
    async with running(labs=[lab("lab1", **about)]) as world:
        answers = await answers_of(world)
    found = {
        (name, difference)
        for name, (status, body, headers) in answers.items()
        for difference in (
            *compare(RECORD[name]["status"], status, "status"),
            *compare(RECORD[name]["headers"], headers),
            *compare(RECORD[name]["body"], body),
        )
    }
    declared = [(name, difference) for difference, names, _ in DELIBERATE for name in names]
    assert sorted(found - set(declared)) == [], "not declared"
    assert sorted(set(declared) - found) == [], "no longer true"
    assert len(declared) == len(set(declared))


def test_a_difference_of_any_kind_is_found() -> None:
    """What is missing, what is added, and what has another form or type; at any depth."""
    recorded = {"a": 1, "b": "{guid}", "c": {"d": 1}, "e": {"f": {}}, "g": True}
    answered = {"b": "x", "c": {"d": 1.0, "h": None}, "e": {"f": []}, "g": 1}
    found = ["without a", "other b: 'x'", "other c.d: 1.0", "with c.h", "other e.f: []", "other g: 1"]
    assert list(compare(recorded, answered)) == found


async def test_the_url_of_an_operation_must_be_sent_as_it_was_given(world: World) -> None:
    """Without its signature, or with another, it is refused."""
    body = image_body(world.blobs.put_vhd("targetone", "a.vhd"))
    _, _, headers = await world.call("PUT", f"{IMAGES}/a", json=body)
    url = headers["azure-asyncoperation"]
    assert (await world.call("GET", url))[0] == 200
    for other in (url.partition("&t=")[0], url[:-4], url.replace("&s=", "&s=x")):
        assert (await world.call("GET", other))[0] == 403
