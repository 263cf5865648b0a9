"""VHDs that Azure would reject are left out before anything is copied, and everything else is distributed."""

from __future__ import annotations

import uuid

import pytest

from localcloud.vhd import footer
from tests.e2e.world import MIB, World

pytestmark = pytest.mark.engine

WINDOWS, CORE, UBUNTU = "Win2016/Datacenter.json", "Win2016/Core.json", "Ubuntu/Jammy.json"
GPT = b"EFI PART".ljust(512, b"\0")


def with_type(kind: int) -> bytes:
    """The footer of a VHD of 16 MiB and another type, with the right checksum."""
    good = footer(16 * MIB, uuid.UUID(int=7))
    content = good[:60] + kind.to_bytes(4, "big") + bytes(4) + good[68:]
    return content[:64] + (~sum(content) & 0xFFFFFFFF).to_bytes(4, "big") + content[68:]


def test_a_preview_names_each_invalid_vhd_and_up_distributes_the_others(world: World) -> None:
    """A dynamic, a differencing one, one of another size, one with a wrong sum: no copy, no failure, a warning each.
    A Windows disk with a GPT without a generation in its companion: Windows never starts from such an image, so labs do
    not get it; a Linux disk with a GPT is reported as such.

    With `keep: 1` a broken newest image does not count: a new lab gets the image before it, which another one keeps."""
    web = world.add_lab("web", "Win2016", "Ubuntu")
    good, dynamic, child, short, damaged = world.add_images(
        (UBUNTU, 5), (WINDOWS, 6), (WINDOWS, 7), (WINDOWS, 8), (WINDOWS, 9)
    )
    first, gpt, linux = world.add_images((WINDOWS, 5), (CORE, 5), (UBUNTU, 4))
    world.damage(dynamic, with_type(3))
    world.damage(child, with_type(4))
    world.damage(short, footer(15 * MIB, uuid.uuid4()))
    world.damage(damaged, with_type(2)[:-1] + b"\1")
    for name in (gpt, linux):
        world.damage(name, GPT, sector=1)
    reasons = {
        dynamic: "is a VHD of the dynamic type",
        child: "is a VHD of the differencing type",
        short: f"its footer has a virtual size of {15 * MIB} bytes",
        damaged: "its VHD footer has a wrong checksum",
    }
    world.cloud.clear_calls()
    preview, up = world.preview(), world.up()
    fact = "its disk is Hyper-V generation 2 and has a partition table of type GPT"
    for run in (preview, up):
        assert run.code == 0, run.output
        for name, reason in reasons.items():
            assert f"VHD {world.images[name]}: {reason}" in run.output, run.output
            assert f"its image {name} is not distributed" in run.output
        assert f"factory image {gpt}: {fact}" in run.output, run.output
        assert f"factory image {linux}: its Linux disk has a GPT" in run.output, run.output
    bad = {*reasons, gpt}
    assert not any(f"{web.name}@" in line and name in line for line in preview.output.splitlines() for name in bad)
    assert set(world.held(web)) == {good, first, linux} and world.copies() == 3
    omitted = {one["image"]: one["reason"] for one in world.state()["resources"][0]["outputs"]["omissions"]}
    assert {name: reason in omitted[name] for name, reason in reasons.items()} == dict.fromkeys(reasons, True)
    assert world.up().only_unchanged

    world.settings["keep"] = 1
    (bad_new,) = world.add_images((WINDOWS, 10))
    world.damage(bad_new)
    data = world.add_lab("data", "Win2016")
    run = world.serve()
    assert world.images[bad_new] in run.output
    assert set(world.held(web)) == {first, good} and world.held(data) == {first: "Succeeded"}
