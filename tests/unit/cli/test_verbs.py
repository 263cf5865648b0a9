"""Each verb passes on what it is asked, and shows what it is told: as a table, as JSON, and as its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import warning
from imagefactory.errors import ImageFactoryError
from imagefactory.factory_lab.clean import CleanReport
from imagefactory.factory_lab.prune import Outcome as Pruned
from imagefactory.factory_lab.prune import PruneReport
from imagefactory.factory_lab.save import Outcome as Saved
from imagefactory.factory_lab.save_run import SaveReport, SaveRequest, Watcher
from imagefactory.planning.clean_plan import CleanPlan, Deletion, Kept
from imagefactory.planning.prune_plan import PrunePlan, PruneRules
from imagefactory.planning.save_plan import SavePlan
from imagefactory.reports.catalog_report import CatalogReport, report_catalog
from tests.unit.builders import NOON, catalog, image
from tests.unit.cli.conftest import Verb
from tests.unit.planning.prunes import files, keeping, plan
from tests.unit.planning.test_save_plan import planned
from tests.unit.planning.vms import saved, vm


def cut_off() -> None:
    """Send this process what a build agent sends to end it."""
    os.kill(os.getpid(), signal.SIGTERM)


def test_save_shows_what_became_of_each_vm(verb: Verb) -> None:
    """Saved, failed and skipped ones; a failure is an exit code, and stands below the table."""
    saving = planned(vm("a"), vm("b"), vm("c", power="running"))
    asked: list[SaveRequest] = []

    async def run(settings: Settings, request: SaveRequest, watcher: Watcher) -> SaveReport:
        asked.append(request)
        outcomes = (Saved("a", image("a-image")), Saved("b", error="b is refused"))
        for outcome in outcomes:
            watcher.ended(outcome)
        return SaveReport(saving, request.dry_run, outcomes, ("mind",), (), ("/disks/old",), (), "1 VHD copied")

    told = verb(
        "save", "--vm", "a", "--max-concurrent", "3", "--json", instead={"imagefactory.factory_lab.save_run.run": run}
    )
    assert (asked[0].vms, asked[0].max_concurrent, asked[0].dry_run) == ({"a"}, 3, False)
    assert told.code == 1 and "a: saved as a-image" in told.err and "b: failed" in told.err
    rows = {row["vm"]: (row["result"], row["image"]) for row in told.document["vms"]}
    assert rows == {"a": ("saved", "a-image"), "b": ("failed", None), "c": ("not ready", None)}
    assert (told.document["warnings"], told.document["accessRevoked"]) == (["mind"], ["/disks/old"])
    table = verb("save", instead={"imagefactory.factory_lab.save_run.run": run})
    assert table.code == 1 and "VMs of the factory lab" in table.out
    assert table.out.endswith(
        "mind\nb is refused\nVM c: is running, not deallocated; it is not saved. Wait for its sysprep or "
        "deprovisioning, then stop it in the lab, which deallocates it.\nDisk /disks/old: a run that ended had "
        "left it open; access is revoked.\n1 VHD copied\n"
    )


def cleaned(*, is_cut_off: bool = False) -> Callable[..., Any]:
    """A function in place of `imagefactory.factory_lab.clean.run`, which deletes one VM of two, and may be cut off
    before the other."""
    machines = vm("a"), vm("b")
    deletions = tuple(Deletion(machine, saved(machine)) for machine in machines)
    unknown = Kept("z", warning("VM z", "is not known", "it stays", "Tag it"))
    cleaning = CleanPlan(deletions, (Kept("ignored", "it has the tag FactoryIgnore"), unknown))

    async def run(settings: Settings, ended: Callable[[Deletion, str], None], *, dry_run: bool) -> CleanReport:
        if dry_run:
            return CleanReport(cleaning, dry_run, {})
        ended(deletions[0], "")
        if not is_cut_off:
            return CleanReport(cleaning, dry_run, {"a": "", "b": "b is refused"})
        cut_off()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return CleanReport(cleaning, dry_run, {"a": ""})

    return run


def test_clean_vms_shows_what_became_of_each_vm(verb: Verb) -> None:
    """Deleted, failed and kept ones, and those that somebody should look at."""
    told = verb("clean-vms", "--json", instead={"imagefactory.factory_lab.clean.run": cleaned()})
    rows = [tuple(row.values()) for row in told.document["vms"]]
    assert rows == [
        ("a", "deleted", "image", None),
        ("b", "failed", "image", "b is refused"),
        ("ignored", "kept", None, "it has the tag FactoryIgnore"),
        ("z", "reported", None, "VM z: is not known; it stays. Tag it."),
    ]
    assert told.code == 1 and told.err == "a: deleted\n"
    dry = verb("clean-vms", "--dry-run")
    assert dry.code == 0 and dry.out.count("would be deleted") == 2
    assert dry.out.endswith("VM z: is not known; it stays. Tag it.\n")


def test_a_verb_that_is_cut_off_shows_what_was_done_and_ends_as_shells_count_it(verb: Verb) -> None:
    """The report first, then how to go on."""
    told = verb("clean-vms", "--json", instead={"imagefactory.factory_lab.clean.run": cleaned(is_cut_off=True)})
    assert told.code == 128 + signal.SIGTERM
    assert [row["result"] for row in told.document["vms"]] == ["deleted", "interrupted", "kept", "reported"]
    assert told.err.splitlines()[1:] == [
        "Stopping: what Azure has begun to delete is deleted.",
        "Interrupted; run the same command again to go on.",
    ]


def test_a_verb_that_is_cut_off_before_it_knows_anything_shows_no_report(verb: Verb) -> None:
    """An empty one would say that there is nothing."""

    async def run(*_: Any, **options: Any) -> CleanReport:
        cut_off()
        await asyncio.Event().wait()
        raise AssertionError

    told = verb("clean-vms", instead={"imagefactory.factory_lab.clean.run": run})
    assert (told.code, told.out) == (128 + signal.SIGTERM, "") and "Interrupted" in told.err


def pruned(*, max_deletes: int = 20) -> dict[str, Callable[..., Any]]:
    """Functions in place of those of `imagefactory.factory_lab.prune`: one image of two is to go, and goes."""
    new, old = image("new"), image("old", age=1)
    found: PrunePlan = plan(catalog(new, old), files(new, old), PruneRules(keeping(1)))

    async def planning(stacks: dict[str, Settings], now: datetime, **options: Any) -> PruneReport:
        assert list(stacks) == ["dev"] and options["keep"] == 1
        held_back = found.exceeding(options["max_deletes"])
        problems = tuple(f"{account} is held back" for account in held_back)
        return PruneReport(1, found, (), problems, held_back.keys(), options["dry_run"])

    async def carry_out(settings: Settings, report: PruneReport, ended: Callable[[Pruned], None]) -> PruneReport:
        outcomes = tuple(map(Pruned, report.going))
        for outcome in outcomes:
            ended(outcome)
        return PruneReport(report.keep, found, (), (), report.held_back, report.dry_run, outcomes)

    return {"imagefactory.factory_lab.prune.plan": planning, "imagefactory.factory_lab.prune.carry_out": carry_out}


@pytest.mark.parametrize(
    ("options", "code", "result"),
    [
        (["--dry-run"], 0, "would be deleted"),
        (["--yes"], 0, "deleted"),
        (["--yes", "--max-deletes", "0"], 1, "not deleted"),
    ],
)
def test_prune_shows_what_goes_and_what_became_of_it(verb: Verb, options: list[str], code: int, result: str) -> None:
    """The plan stands before anything is done; nothing is done where it is too much."""
    told = verb("prune", "--keep", "1", "--json", *options, instead=pruned())
    assert told.code == code
    assert [(one["name"], one["result"]) for one in told.document["deletions"]] == [("old", result)]
    text = verb("prune", "--keep", "1", *options, instead=pruned())
    assert text.code == code and "1 to delete, 0.00 GiB; 1 stay." in text.out
    assert ("Deleted 1 of 1, 0.00 GiB." in text.out) == (result == "deleted")


def test_catalog_shows_images_as_table_json_and_page(verb: Verb, tmp_path: Path) -> None:
    """The labs are read for the page too."""
    asked: list[bool] = []

    async def read(settings: Settings, now: datetime, *, with_labs: bool) -> CatalogReport:
        asked.append(with_labs)
        return report_catalog(catalog(image("golden")), "factory", NOON, () if with_labs else None)

    instead = {"imagefactory.factory_lab.catalog.read": read}
    assert "golden.vhd" in verb("catalog", instead=instead).out
    told = verb("catalog", "--json", "--labs", instead=instead)
    assert told.code == 0 and [one["heldBy"] for one in told.document["images"]] == [[]]
    page = verb("catalog", "--html", "page.html", instead=instead)
    assert (page.code, page.out, page.err) == (0, "", "page.html: 1 images, 0 left out\n")
    assert "golden" in (tmp_path / "page.html").read_text("utf-8")
    assert asked == [False, True, True]


def test_whatever_a_verb_cannot_do_is_one_line_and_exit_code_1(verb: Verb) -> None:
    """No traceback, nothing on standard output."""

    async def read(settings: Settings, now: datetime, *, with_labs: bool) -> CatalogReport:
        raise ImageFactoryError("Azure refuses")

    told = verb("catalog", "--json", instead={"imagefactory.factory_lab.catalog.read": read})
    assert (told.code, told.out, told.err) == (1, "", "Azure refuses\n")


def test_a_save_says_that_the_factory_lab_has_no_vm(verb: Verb) -> None:
    """A table without rows shows nothing."""

    async def run(settings: Settings, request: SaveRequest, watcher: Watcher) -> SaveReport:
        return SaveReport(SavePlan((), ()), request.dry_run, (), (), (), (), (), "")

    told = verb("save", instead={"imagefactory.factory_lab.save_run.run": run})
    assert told.code == 0 and told.out == "The factory lab has no VM\n"
