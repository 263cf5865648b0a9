"""Each subcommand passes on its options, and shows the result as a table, as JSON, and as its exit code."""

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
import typer

from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import warning
from imagefactory.errors import ImageFactoryError
from imagefactory.factory_lab.clean import CleanReport
from imagefactory.factory_lab.promote import PromoteReport, PromoteRequest
from imagefactory.factory_lab.prune import DeletionOutcome, PruneReport
from imagefactory.factory_lab.save import SaveOutcome, Watcher
from imagefactory.factory_lab.save_run import SaveReport, SaveRequest
from imagefactory.planning.factory.clean_plan import CleanPlan, Deletion, Kept
from imagefactory.planning.factory.prune_plan import PrunePlan, PruneRules
from imagefactory.planning.factory.save_plan import SavePlan
from imagefactory.reports.catalog_report import CatalogReport, report_catalog
from tests.unit.builders import NOON, catalog, image
from tests.unit.cli.conftest import Verb
from tests.unit.planning.factory.prunes import files, keeping, plan
from tests.unit.planning.factory.test_save_plan import planned
from tests.unit.planning.factory.vms import saved, vm


def terminate() -> None:
    """Send this process SIGTERM, like a build agent that cancels a job."""
    os.kill(os.getpid(), signal.SIGTERM)


def test_save_shows_the_result_of_each_vm(verb: Verb) -> None:
    """Saved, failed and not ready VMs; a failure sets the exit code, and its message is below the table."""
    saving = planned(vm("a"), vm("b"), vm("c", power="running"))
    received: list[SaveRequest] = []

    async def run(settings: Settings, request: SaveRequest, watcher: Watcher) -> SaveReport:
        received.append(request)
        outcomes = (SaveOutcome("a", image("a-image")), SaveOutcome("b", error="b is refused"))
        for outcome in outcomes:
            watcher.ended(outcome)
        return SaveReport(saving, request.dry_run, outcomes, ("mind",), (), ("/disks/old",), (), "1 VHD copied")

    printed = verb(
        "save", "--vm", "a", "--max-concurrent", "3", "--json", instead={"imagefactory.factory_lab.save_run.run": run}
    )
    assert (received[0].vms, received[0].max_concurrent, received[0].dry_run) == ({"a"}, 3, False)
    assert printed.code == 1 and "a: saved as a-image" in printed.err and "b: failed" in printed.err
    rows = {row["vm"]: (row["result"], row["image"]) for row in printed.document["vms"]}
    assert rows == {"a": ("saved", "a-image"), "b": ("failed", None), "c": ("not ready", None)}
    assert (printed.document["warnings"], printed.document["accessRevoked"]) == (["mind"], ["/disks/old"])
    table = verb("save", instead={"imagefactory.factory_lab.save_run.run": run})
    assert table.code == 1 and "VMs of the factory lab" in table.out
    assert table.out.endswith(
        "mind\nb is refused\nVM c: is running, not deallocated; it is not saved. Wait for its sysprep or "
        "deprovisioning, then stop it in the lab, which deallocates it.\nDisk /disks/old: revoked access left "
        "active by an earlier run.\n1 VHD copied\n"
    )


def cleaned(*, is_terminated: bool = False) -> Callable[..., Any]:
    """Return a replacement for `imagefactory.factory_lab.clean.run` that deletes one VM of two.

    If `is_terminated`, it is terminated before the other one.
    """
    machines = vm("a"), vm("b")
    deletions = tuple(Deletion(machine, saved(machine)) for machine in machines)
    unknown = Kept("z", warning("VM z", "is not known", "it stays", "Tag it"))
    cleaning = CleanPlan(deletions, (Kept("ignored", "it has the tag FactoryIgnore"), unknown))

    async def run(settings: Settings, ended: Callable[[Deletion, str], None], *, dry_run: bool) -> CleanReport:
        if dry_run:
            return CleanReport(cleaning, dry_run, {})
        ended(deletions[0], "")
        if not is_terminated:
            return CleanReport(cleaning, dry_run, {"a": "", "b": "b is refused"})
        terminate()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return CleanReport(cleaning, dry_run, {"a": ""})

    return run


def test_clean_vms_shows_the_result_of_each_vm(verb: Verb) -> None:
    """Deleted, failed, kept and reported VMs."""
    printed = verb("clean-vms", "--json", instead={"imagefactory.factory_lab.clean.run": cleaned()})
    rows = [tuple(row.values()) for row in printed.document["vms"]]
    assert rows == [
        ("a", "deleted", "image", None),
        ("b", "failed", "image", "b is refused"),
        ("ignored", "kept", None, "it has the tag FactoryIgnore"),
        ("z", "reported", None, "VM z: is not known; it stays. Tag it."),
    ]
    assert printed.code == 1 and printed.err == "a: deleted\n"
    dry = verb("clean-vms", "--dry-run")
    assert dry.code == 0 and dry.out.count("would be deleted") == 2
    assert dry.out.endswith("VM z: is not known; it stays. Tag it.\n")


def test_an_interrupted_subcommand_shows_its_results_and_exits_with_the_signals_code(verb: Verb) -> None:
    """The report is printed first, then how to resume."""
    printed = verb("clean-vms", "--json", instead={"imagefactory.factory_lab.clean.run": cleaned(is_terminated=True)})
    assert printed.code == 128 + signal.SIGTERM
    assert [row["result"] for row in printed.document["vms"]] == ["deleted", "interrupted", "kept", "reported"]
    assert printed.err.splitlines()[1:] == [
        "Stopping: Azure finishes the deletions that it has started (press Ctrl-C again to quit now).",
        "Interrupted; run the same command again to resume.",
    ]


def test_a_subcommand_that_is_interrupted_before_it_has_results_shows_no_report(verb: Verb) -> None:
    """An empty report would say that nothing is to do."""

    async def run(*_: Any, **options: Any) -> CleanReport:
        terminate()
        await asyncio.Event().wait()
        raise AssertionError

    printed = verb("clean-vms", instead={"imagefactory.factory_lab.clean.run": run})
    assert (printed.code, printed.out) == (128 + signal.SIGTERM, "") and "Interrupted" in printed.err


def pruned(*, max_deletes: int = 20) -> dict[str, Callable[..., Any]]:
    """Return replacements for the functions of `imagefactory.factory_lab.prune`, which delete one image of two."""
    new, old = image("new"), image("old", age=1)
    found: PrunePlan = plan(catalog(new, old), files(new, old), PruneRules(keeping(1)))

    async def planning(stacks: dict[str, Settings], now: datetime, **options: Any) -> PruneReport:
        assert list(stacks) == ["dev"] and options["keep"] == 1
        held_back = found.exceeding(options["max_deletes"])
        problems = tuple(f"{account} is held back" for account in held_back)
        return PruneReport(1, found, (), problems, held_back.keys(), options["dry_run"])

    async def carry_out(
        settings: Settings, report: PruneReport, ended: Callable[[DeletionOutcome], None]
    ) -> PruneReport:
        outcomes = tuple(map(DeletionOutcome, report.going))
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
def test_prune_shows_the_plan_and_its_results(verb: Verb, options: list[str], code: int, result: str) -> None:
    """The plan is printed first; nothing is deleted in an account that exceeds the limit."""
    printed = verb("prune", "--keep", "1", "--json", *options, instead=pruned())
    assert printed.code == code
    assert [(one["name"], one["result"]) for one in printed.document["deletions"]] == [("old", result)]
    text = verb("prune", "--keep", "1", *options, instead=pruned())
    assert text.code == code and "1 to delete, 0.00 GiB; 1 kept." in text.out
    assert ("Deleted 1 of 1, 0.00 GiB." in text.out) == (result == "deleted")


def test_catalog_shows_images_as_table_json_and_page(verb: Verb, tmp_path: Path) -> None:
    """The page reads the labs too."""
    received: list[bool] = []

    async def read(settings: Settings, now: datetime, *, with_labs: bool) -> CatalogReport:
        received.append(with_labs)
        return report_catalog(catalog(image("golden")), "factory", NOON, () if with_labs else None)

    instead = {"imagefactory.factory_lab.catalog.read": read}
    assert "golden.vhd" in verb("catalog", instead=instead).out
    printed = verb("catalog", "--json", "--labs", instead=instead)
    assert printed.code == 0 and [one["heldBy"] for one in printed.document["images"]] == [[]]
    page = verb("catalog", "--html", "page.html", instead=instead)
    assert (page.code, page.out, page.err) == (0, "", "page.html: 1 image, 0 skipped\n")
    assert "golden" in (tmp_path / "page.html").read_text("utf-8")
    assert received == [False, True, True]


def test_prune_deletes_nothing_if_it_is_interrupted_at_the_prompt(verb: Verb) -> None:
    """Ctrl-C and the end of the input are an interruption, with its message and exit code."""

    def confirm(_: str) -> bool:
        raise typer.Abort

    instead = {**pruned(), "typer.confirm": confirm, "imagefactory.cli.prune._check_usage": lambda **_: None}
    printed = verb("prune", "--keep", "1", instead=instead)
    assert printed.code == 128 + signal.SIGINT
    assert printed.err == "Interrupted; nothing was deleted.\n" and "Deleted" not in printed.out


@pytest.mark.parametrize("options", [[], ["--json"], ["--html", "page.html"]])
def test_an_interrupted_catalog_shows_and_writes_nothing(verb: Verb, tmp_path: Path, options: list[str]) -> None:
    """Its exit code is that of the signal, as for every subcommand."""

    async def read(settings: Settings, now: datetime, *, with_labs: bool) -> CatalogReport:
        terminate()
        await asyncio.Event().wait()
        raise AssertionError

    printed = verb("catalog", *options, instead={"imagefactory.factory_lab.catalog.read": read})
    assert (printed.code, printed.out) == (128 + signal.SIGTERM, "")
    assert printed.err.splitlines() == [
        "Stopping (press Ctrl-C again to quit now).",
        "Interrupted; nothing was written.",
    ]
    assert not (tmp_path / "page.html").exists()


def test_a_failed_subcommand_prints_one_line_and_exits_1(verb: Verb) -> None:
    """Without a traceback, and with nothing on standard output."""

    async def read(settings: Settings, now: datetime, *, with_labs: bool) -> CatalogReport:
        raise ImageFactoryError("Azure refuses")

    printed = verb("catalog", "--json", instead={"imagefactory.factory_lab.catalog.read": read})
    assert (printed.code, printed.out, printed.err) == (1, "", "Azure refuses\n")


def test_save_says_if_the_factory_lab_has_no_vm(verb: Verb) -> None:
    """A table without rows would show nothing."""

    async def run(settings: Settings, request: SaveRequest, watcher: Watcher) -> SaveReport:
        return SaveReport(SavePlan((), ()), request.dry_run, (), (), (), (), (), "")

    printed = verb("save", instead={"imagefactory.factory_lab.save_run.run": run})
    assert printed.code == 0 and printed.out == "The factory lab has no VM\n"


def test_an_interrupted_promotion_says_that_the_file_is_as_before(verb: Verb) -> None:
    """It is written at the end, in one step that no signal interrupts."""

    async def run(_: PromoteRequest) -> PromoteReport:
        terminate()
        await asyncio.Event().wait()
        raise AssertionError

    file = Path("Pulumi.prod.yaml")
    file.write_bytes(before := Path("Pulumi.dev.yaml").read_bytes())
    printed = verb("promote", "--from", "dev", "--to", "prod", instead={"imagefactory.factory_lab.promote.run": run})
    assert (printed.code, printed.out, file.read_bytes()) == (128 + signal.SIGTERM, "", before)
    assert printed.err.endswith("Interrupted; Pulumi.prod.yaml is as before.\n")
