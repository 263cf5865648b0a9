"""Golden images whose paths Azure rejects as names: their VMs are saved under names that it accepts."""

from __future__ import annotations

import re
import shutil
from urllib.parse import quote, unquote

from imagefactory.configuration.image_names import MAX_LENGTH, name_problem
from tests.e2e.world import FACTORY_CONTAINER
from tests.factory_lab.factory_world import WINDOWS, FactoryWorld
from tests.factory_lab.test_save import today

CORE, LONG = "Win2019 (Core), EN/IIS+SQL.json", f"Win2019/{'Visual-Studio-' * 6}.json"


def test_a_vm_of_any_image_path_is_saved_under_a_name_that_labs_accept(world: FactoryWorld) -> None:
    """Stem and date stay readable, a second image of the day gets the next letter, and a lab gets each of them."""
    for vm, path in (("core", CORE), ("again", CORE), ("long", LONG), ("plus", "C++/Tools.json"), ("plain", WINDOWS)):
        world.define(path)
        world.add_vm(vm, path)
    saved = world.save()
    assert saved.code == 0, saved.stderr
    names = {vm: str(saved.row(vm)["image"]) for vm in ("core", "again", "long", "plus", "plain")}
    assert all(name_problem(name) is None for name in names.values())
    first, second = sorted((names["core"], names["again"]))
    assert re.fullmatch(today("Win2019-Core-EN_IIS-SQL-[0-9a-f]{6}"), first) and second == f"{first}A"
    assert re.fullmatch(today("Win2019_Visual-Studio-[A-Za-z-]+-[0-9a-f]{6}"), names["long"])
    assert MAX_LENGTH - 2 <= len(names["long"]) <= MAX_LENGTH
    assert re.fullmatch(today("C_Tools-[0-9a-f]{6}"), names["plus"]) and names["plain"] == today("Win2016_Datacenter")
    assert set(world.companions()) == set(names.values())
    lab = world.add_lab("web", "Win2019 (Core), EN", "Win2019", "C++", "Win2016")
    world.serve()
    assert set(world.held(lab)) == set(names.values())


def test_an_image_has_the_letter_case_of_its_golden_image_whatever_the_tag_of_its_vm(world: FactoryWorld) -> None:
    """In its name, companion, metadata and custom image, and in the reports of save, catalog and prune."""
    odd = "win2016\\datacenter.JSON"
    (earlier,) = world.add_images((odd.replace("\\", "/"), 5))  # a companion of an earlier version or of the scripts
    shutil.rmtree(world.folder / "Configuration" / "GoldenImages" / "win2016")
    world.add_vm("plain")
    world.add_vm("odd", None, tags={"ImagePath": odd})
    saved = world.save()
    assert saved.code == 0, saved.stderr
    names = {str(saved.row(vm)["image"]) for vm in ("plain", "odd")}
    assert names == {today("Win2016_Datacenter"), today("Win2016_Datacenter", "A")}
    assert {saved.row(vm)["imagePath"] for vm in ("plain", "odd")} == {WINDOWS}
    assert {world.companions()[name]["imagePath"] for name in names} == {WINDOWS.replace("/", "\\")}
    vhd = str(saved.row("odd")["vhd"])
    assert unquote(world.blobs()[vhd]["imagepath"]) == WINDOWS
    lab = world.add_lab("web", "Win2016")
    for options in ((), ("--labs",)):
        listed = world.command("catalog", "--json", *options).document["images"]
        assert {image["name"]: image["imagePath"] for image in listed} == dict.fromkeys((*names, earlier), WINDOWS)
    pruned = world.command("prune", "--json", "--dry-run", "--keep", "1").document
    told = {one["imagePath"] for one in (*pruned["deletions"], *pruned["kept"]) if one["name"] in {*names, earlier}}
    assert told == {WINDOWS}
    world.serve()
    assert {name: world.image(lab, name)["tags"]["ImagePath"] for name in world.held(lab)} == dict.fromkeys(
        (*names, earlier), WINDOWS
    )


def test_a_save_that_an_older_version_began_under_a_name_that_azure_rejects_gets_another(world: FactoryWorld) -> None:
    """The record names it; its reservation is freed."""
    world.add_vm("golden", CORE)
    guid = str(world.save("--dry-run").row("golden")["vhd"]).removesuffix(".vhd")
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    rejected = "Win2019-(Core),-EN_IIS+SQL-Jun-5-2026"
    container.upload_blob(f"{guid}.save", b"", metadata={"name": quote(rejected)})
    container.upload_blob(f"{rejected}.name", b"", metadata={"guid": guid})
    saved = world.save()
    assert saved.code == 0, saved.stderr
    assert re.fullmatch(today("Win2019-Core-EN_IIS-SQL-[0-9a-f]{6}"), saved.row("golden")["image"])
    assert {name.partition(".")[0] for name in world.blobs()} == {guid}
