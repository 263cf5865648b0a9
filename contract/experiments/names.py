"""Which names are refused, of custom images and of containers."""

from __future__ import annotations

from contract.bench import Bench
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED


@experiment("names: custom images", creates="nothing: each PUT names a VHD of another account")
def images(bench: Bench) -> None:
    """Which names of custom images are refused, and how. The VHD is in another account, so an accepted name is refused
    for that reason (`InvalidStorageAccountForLab`) and no image is created. `save` and `labs.json` are held to the
    rule that users quote; in the embedded cloud its letters are those of ASCII."""
    place = bench.place
    vhd = f"{place.blob.replace(place.account, f'{place.account[:20]}zzzz'[:24])}/vhds/first.vhd"
    plain = bench.name("n")
    names = {
        "plain": plain,
        "full stop inside": f"{plain}.x",
        "underscore inside": f"{plain}_x",
        "80 characters": plain.ljust(80, "n"),
        "81 characters": plain.ljust(81, "n"),
        "parentheses": f"{plain}(1)",
        "space inside": f"{plain} x",
        "letter of another script inside": f"{plain}é",
        "letter of another script first": f"é{plain}",
        "digit first": f"1{plain}",
        "underscore first": f"_{plain}",
        "hyphen first": f"-{plain}",
        "full stop first": f".{plain}",
        "hyphen last": f"{plain}-",
        "full stop last": f"{plain}.",
        "underscore last": f"{plain}_",
        "plus": f"{plain}+x",
        "percent": f"{plain}%x",
        "comma": f"{plain},x",
    }
    for what, name in names.items():
        answer = bench.put_image(name, vhd)
        bench.saw(what, answer, PUBLISHED if what in ("plain", "parentheses") else ASSUMED, body=False)


@experiment("names: containers", creates="containers, each deleted at once")
def containers(bench: Bench) -> None:
    """Which names of containers are refused, and how. The product creates only fixed names."""
    plain = bench.name("n")
    names = {
        "plain": plain,
        "63 characters": plain.ljust(63, "n"),
        "64 characters": plain.ljust(64, "n"),
        "upper case": f"{plain}X",
        "two hyphens": f"{plain}--x",
        "hyphen last": f"{plain}-",
        "underscore": f"{plain}_x",
        "full stop": f"{plain}.x",
    }
    for what, name in names.items():
        answer = bench.blob("PUT", name, restype="container")
        bench.saw(what, answer, PUBLISHED, body=False)
        if answer.status == 201:
            bench.blob("DELETE", name, restype="container")
