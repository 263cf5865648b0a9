"""What DevTest Labs answers to a PUT of a custom image whose source it should refuse."""

from __future__ import annotations

from typing import Any

from contract.bench import Bench
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED, Source


@experiment("images: refused sources", creates="1 block blob, up to 9 custom images that fail", minutes=15)
def sources(bench: Bench) -> None:
    """What a PUT answers for a VHD in another account (`InvalidStorageAccountForLab`), one with a query, a missing one,
    a block blob, and for bodies that are not valid. The program stages each VHD in the lab's own account because of
    it, and passes plain URLs."""
    place = bench.place
    box = bench.container("sources")
    bench.must(bench.blob("PUT", f"{box}/block.vhd", {"x-ms-blob-type": "BlockBlob"}, b"x" * 1024), 201)
    other = place.blob.replace(place.account, f"{place.account[:20]}zzzz"[:24])
    in_box = f"{place.blob}/{box}"
    urls = {
        "another account": f"{other}/{box}/first.vhd",
        "another host": f"https://example.com/{box}/first.vhd",
        "a query": f"{in_box}/first.vhd?snapshot=2024-01-01T00:00:00.0000000Z",
        "a missing blob": f"{in_box}/missing.vhd",
        "a missing container": f"{place.blob}/{bench.name('nowhere')}/first.vhd",
        "a block blob": f"{in_box}/block.vhd",
        "no URL": "first.vhd",
    }
    for number, (what, url) in enumerate(urls.items()):
        source: Source = PUBLISHED if what == "another account" else ASSUMED
        _put(bench, number, what, {"vhd": {"imageName": url, "osType": "Linux", "sysPrep": False}}, source)
    bodies: dict[str, dict[str, Any]] = {
        "an unknown OS type": {"vhd": {"imageName": urls["another account"], "osType": "Other", "sysPrep": False}},
        "a sysprepped Linux": {"vhd": {"imageName": urls["another account"], "osType": "Linux", "sysPrep": True}},
        "no source": {"description": "no source"},
    }
    for number, (what, properties) in enumerate(bodies.items(), len(urls)):
        _put(bench, number, what, properties, ASSUMED)


def _put(bench: Bench, number: int, what: str, properties: dict[str, Any], source: Source) -> None:
    answer = bench.arm("PUT", bench.image_path(bench.name(f"source{number}")), {"properties": properties})
    bench.saw(what, answer, source, body=answer.status >= 400)
    if answer.status in (200, 201):
        bench.saw(f"{what}: its operation, ended", bench.ended(answer), source)
