"""Lists: casing of ids, order, pages, and what a list shows while something changes."""

from __future__ import annotations

from typing import Any

from contract.bench import Bench
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED, RECORDED
from contract.wire import Answer

_ONE_PAGE = "$top limits all pages together, so there is no next page"


@experiment("lists: labs", creates="nothing")
def labs(bench: Bench) -> None:
    """How the list of labs and GET show this lab: casing of ids, fields. The program finds labs by name in it."""
    place = bench.place
    url = f"/subscriptions/{place.subscription}/providers/Microsoft.DevTestLab/labs"
    answer, ids = bench.arm("GET", url), [place.lab_id.lower()]
    bench.saw("LIST", answer, PUBLISHED, body=False)
    while answer.json and answer.json.get("nextLink") and not _named(answer, ids):
        answer = bench.arm("GET", answer.json["nextLink"])
    for listed in _named(answer, ids):
        bench.saw("this lab in LIST", None, PUBLISHED, keys=sorted(listed), id=bench.forms.text(listed["id"]))
    found = bench.arm("GET", place.lab_id).json or {}
    bench.saw("GET", None, PUBLISHED, keys=sorted(found), id=bench.forms.text(found.get("id", "")))
    upper = bench.arm("GET", place.lab_id.upper().replace("/SUBSCRIPTIONS/", "/subscriptions/"))
    bench.saw("GET in upper case", None, PUBLISHED, id=bench.forms.text((upper.json or {}).get("id", "")))


@experiment("lists: custom images", creates="1 page blob of 32 MiB, 5 custom images", minutes=20)
def images(bench: Bench) -> None:
    """The order of a list of custom images, casing of its ids, `$top` and `nextLink`, `$top=0`, whether an image that
    is being created is listed, and what the next page shows after an image of it was deleted and another was created.
    The program reads all pages, and takes what is missing in them as deleted."""
    path = f"{bench.place.lab_id}/customimages"
    box = bench.container("lists")
    vhd = bench.vhd(f"{box}/list.vhd")
    started = [bench.must(bench.put_image(_name(bench, part), vhd), 201) for part in ("b", "C", "a", "d")]
    for answer in started:
        bench.ended(answer)
    whole = bench.arm("GET", path)
    more = "nextLink" in (whole.json or {})
    bench.saw("LIST", whole, ASSUMED, body=False, order=_images(bench, whole), nextLink=more)
    shown = bench.forms.value(_named(whole, [bench.image_path(_name(bench, "C")).lower()]))
    bench.saw("an image in LIST", None, RECORDED, shown=shown)
    first = bench.arm("GET", path, query={"$top": "2"})
    link = str((first.json or {}).get("nextLink", ""))
    number = len((first.json or {}).get("value", []))
    bench.saw("$top=2", first, ASSUMED, body=False, images=number, nextLink=bench.forms.text(link))
    bench.saw("$top=0", bench.arm("GET", path, query={"$top": "0"}), ASSUMED, body=False)
    bench.ended(bench.arm("DELETE", bench.image_path(_name(bench, "d"))))
    with bench.place.slow():
        created = bench.image_path(_name(bench, "e"))
        bench.saw("PUT during the list", bench.put_image(_name(bench, "e"), vhd), RECORDED, body=False)
        listed = len(_named(bench.arm("GET", path), [created.lower()]))
        bench.saw("LIST while an image is created", None, ASSUMED, listed=listed)
        facts = {"images": _images(bench, bench.arm("GET", link))} if link else {"notModelled": _ONE_PAGE}
        bench.saw("the next page after changes", None, ASSUMED, **facts)
    bench.ended(bench.arm("DELETE", created))


@experiment("lists: blobs and containers", creates="1 container with 5 empty blobs")
def blobs(bench: Bench) -> None:
    """Pages of a list of blobs, its order, what it includes of metadata and copies, and what the next page shows after
    a blob of it was deleted and others were created. `prune` and the plan read the factory's container so."""
    box = bench.container("blobs")
    for name in ("b", "C", "a", "d"):
        bench.must(bench.blob("PUT", f"{box}/{name}", {"x-ms-blob-type": "BlockBlob", "x-ms-meta-Mixed": "1"}), 201)
    query: dict[str, Any] = {"restype": "container", "comp": "list", "include": "metadata,copy", "maxresults": "2"}
    first = bench.must(bench.blob("GET", box, **query), 200)
    bench.saw("the first page", first, PUBLISHED, body=False, blobs=_blob_names(first))
    root = first.xml
    one = root.find("Blobs/Blob") if root is not None else None
    fields = (
        [] if one is None else sorted(each.tag for part in ("Properties", "Metadata") for each in one.find(part) or ())
    )
    bench.saw("a blob in the list", None, PUBLISHED, fields=fields)
    marker = (root.findtext("NextMarker") if root is not None else "") or ""
    bench.must(bench.blob("DELETE", f"{box}/d"), 202)
    bench.must(bench.blob("PUT", f"{box}/c", {"x-ms-blob-type": "BlockBlob"}), 201)
    bench.must(bench.blob("PUT", f"{box}/0", {"x-ms-blob-type": "BlockBlob"}), 201)
    second = bench.blob("GET", box, **query, marker=marker)
    bench.saw("the next page after changes", second, ASSUMED, body=False, blobs=_blob_names(second))
    missing = bench.blob("GET", bench.name("nowhere"), restype="container", comp="list")
    bench.saw("the list of a missing container", missing, PUBLISHED)
    bench.saw("maxresults=0", bench.blob("GET", box, **{**query, "maxresults": "0"}), PUBLISHED, body=False)


def _named(answer: Answer, ids: list[str]) -> list[dict[str, Any]]:
    return [each for each in (answer.json or {}).get("value", []) if str(each.get("id", "")).lower() in ids]


def _name(bench: Bench, part: str) -> str:
    return bench.name(f"list-{part}")


def _images(bench: Bench, answer: Answer) -> list[str]:
    """Return the images of this experiment in their order; the lab can have others."""
    start = _name(bench, "")
    names = [str(each.get("name", "")) for each in (answer.json or {}).get("value", [])]
    return [name.removeprefix(start) for name in names if name.startswith(start)]


def _blob_names(answer: Answer) -> list[str]:
    return [] if answer.xml is None else [each.text or "" for each in answer.xml.iterfind("Blobs/Blob/Name")]
