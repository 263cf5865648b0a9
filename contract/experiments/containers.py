"""A container that is being deleted."""

from __future__ import annotations

from contract.bench import Bench
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED


@experiment("containers: while one is deleted", creates="1 container, deleted and created again", minutes=3)
def deletion(bench: Bench) -> None:
    """What creating, reading, listing and writing a blob answer while a container is being deleted. The product waits
    for it to end (`ContainerBeingDeleted`), for at least 30 s on Azure."""
    box = bench.container("deleted")
    with bench.place.slow():
        bench.saw("create again", bench.blob("PUT", box, restype="container"), PUBLISHED)
        bench.saw("DELETE", bench.blob("DELETE", box, restype="container"), PUBLISHED)
        bench.saw("create while it is deleted", bench.blob("PUT", box, restype="container"), PUBLISHED)
        bench.saw("GET while it is deleted", bench.blob("GET", box, restype="container"), PUBLISHED)
        block = bench.blob("PUT", f"{box}/blob", {"x-ms-blob-type": "BlockBlob"}, b"x")
        bench.saw("a blob while it is deleted", block, ASSUMED)
        bench.saw("the list of its blobs", bench.blob("GET", box, restype="container", comp="list"), ASSUMED)
        bench.saw("DELETE again", bench.blob("DELETE", box, restype="container"), ASSUMED)
        listed = bench.blob("GET", "", comp="list", prefix=box)
        names = [] if listed.xml is None else [each.text for each in listed.xml.iterfind("Containers/Container/Name")]
        bench.saw("the list of containers", listed, ASSUMED, body=False, containers=len(names))
