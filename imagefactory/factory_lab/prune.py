"""Pruning: all is read, a plan is made, and each deletion of it is carried out, or told why not.

Owns the order of the steps. Nothing goes that is not what the plan saw: the VHDs are looked at first, and every blob is
deleted on the condition that it is unchanged. A save's record is held meanwhile, so that no save takes up what goes;
disks that a dead save left open are closed before the record of them goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from imagefactory.azure.connect import connect
from imagefactory.azure.core.errors import CloudError, consequence
from imagefactory.azure.disk_access import DiskAccess
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.blob_lists import changed, delete_blob, is_unchanged
from imagefactory.azure.storage.save_records import Hold, SaveHeld, SaveRecords, records_of
from imagefactory.configuration.loading import load_configuration
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.factory_lab.prune_facts import read_prune_facts
from imagefactory.factory_lab.save import surely
from imagefactory.observed.factory_blobs import RECORD
from imagefactory.planning.prune_plan import Deletion, PrunePlan, PruneRules, agreed_keep, keep_warnings, plan_prune
from imagefactory.planning.retention import with_keep

AT_ONCE = 16


@dataclass(frozen=True)
class Outcome:
    """What became of a deletion; no error: all of it is gone."""

    deletion: Deletion
    error: str = ""

    @property
    def result(self) -> str:
        """In a word."""
        return "failed" if self.error else "deleted"


@dataclass(frozen=True)
class PruneReport:
    """What is to be done, and what became of it."""

    keep: int
    plan: PrunePlan
    warnings: tuple[str, ...]
    problems: tuple[str, ...]
    """What could not be read, and which storage accounts are held back."""
    held_back: Set[str]
    """Storage accounts in which nothing is deleted, for it would be too much; ARM ids in lower case."""
    dry_run: bool
    outcomes: tuple[Outcome, ...] = ()
    """A deletion that was not begun has none."""

    @property
    def going(self) -> tuple[Deletion, ...]:
        """The deletions of the other accounts; none in a dry run."""
        deletions = (one for one in self.plan.deletions if one.account_id not in self.held_back)
        return () if self.dry_run else tuple(deletions)

    @property
    def results(self) -> tuple[tuple[Deletion, str, str], ...]:
        """Each deletion of the plan, what became of it, and the error if it failed."""
        outcomes = {outcome.deletion.key: outcome for outcome in self.outcomes}
        untouched = "would be deleted" if self.dry_run else "not done"
        return tuple(
            (one, outcome.result, outcome.error)
            if (outcome := outcomes.get(one.key))
            else (one, "not deleted" if one.account_id in self.held_back else untouched, "")
            for one in self.plan.deletions
        )

    @property
    def failures(self) -> tuple[str, ...]:
        """Whatever makes this no success."""
        return (*self.problems, *(outcome.error for outcome in self.outcomes if outcome.error))


async def plan(
    stacks: Mapping[str, Settings], now: datetime, *, keep: int | None, max_deletes: int, dry_run: bool
) -> PruneReport:
    """What goes at `now` (UTC) of the factory that these stacks (by name) share; the first one says where it is.

    `keep`: how many images of each image path stay, None: what the stacks keep. Nothing is to be deleted in a storage
    account where that would be more than `max_deletes`. Raises `ConfigurationError` where the stacks do not tell, and
    `ImageFactoryError` where the factory lab, its storage or its VMs cannot be read.
    """
    configured = [(settings, load_configuration(settings.configuration, settings.labs)) for settings in stacks.values()]
    policies = with_keep(stacks, keep)
    kept = agreed_keep(policies)
    async with connect(configured[0][0]) as (arm, accounts):
        with consequence("nothing is deleted"):
            facts = await read_prune_facts(arm, accounts, configured)
    rules = PruneRules(policies, facts.vms, facts.last_good)
    found = plan_prune(facts.catalog, facts.blobs, rules, facts.staged, facts.needs, now)
    warnings = keep_warnings(kept, stacks)
    warnings += (record.diagnostic for record in records_of(facts.blobs) if record.diagnostic)
    exceeding = found.exceeding(max_deletes)
    problems = [*facts.unread, *(_held_back(account, count, max_deletes) for account, count in exceeding.items())]
    return PruneReport(
        keep=kept,
        plan=found,
        warnings=tuple(diagnostic.message() for diagnostic in warnings),
        problems=tuple(diagnostic.message() for diagnostic in problems),
        held_back=exceeding.keys(),
        dry_run=dry_run,
    )


def _held_back(account_id: str, count: int, max_deletes: int) -> Diagnostic:
    subject = f"storage account {account_id.rpartition('/')[2]}"
    fact = f"{count} images, unfinished saves and staged VHDs exceed --max-deletes {max_deletes}"
    remedy = f"Review them; to delete them, pass --max-deletes {count}"
    return error(subject, fact, "nothing is deleted there", remedy)


async def carry_out(settings: Settings, report: PruneReport, ended: Callable[[Outcome], None]) -> PruneReport:
    """Delete what is to go; `ended` is told of each deletion that was begun.

    A cancellation ends it early, when what is under way has ended: the report tells what was done until then.
    """
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        ended(outcome)

    with suppress(asyncio.CancelledError):
        async with connect(settings) as (arm, accounts):
            await Pruner(accounts, DiskAccess(arm, accounts), note).prune(report.going)
    return replace(report, outcomes=tuple(outcomes))


class Pruner:
    """Carries deletions out, side by side."""

    def __init__(self, accounts: StorageAccounts, access: DiskAccess, ended: Callable[[Outcome], None]) -> None:
        """`ended` is told of each deletion that was begun."""
        self._accounts, self._access, self._ended = accounts, access, ended

    async def prune(self, deletions: Iterable[Deletion]) -> None:
        """Carry them out. A cancellation lets those end that are under way, and begins no other."""
        gate, stopping = asyncio.Semaphore(AT_ONCE), asyncio.Event()

        async def one(deletion: Deletion) -> None:
            async with gate:
                if not stopping.is_set():
                    self._ended(await self._outcome(deletion))

        tasks = [asyncio.ensure_future(one(deletion)) for deletion in deletions]
        if not tasks:
            return
        try:
            await asyncio.wait(tasks)
        finally:
            stopping.set()
            await surely(asyncio.gather(*tasks))

    async def _outcome(self, deletion: Deletion) -> Outcome:
        try:
            await self._delete(deletion)
        except SaveHeld:
            fact, remedy = "a save holds it", "Run again when that has ended"
            return Outcome(deletion, error(deletion.name, fact, "it is not deleted", remedy).message())
        except CloudError as refusal:
            return Outcome(deletion, str(refusal.so(f"{deletion.name} is not deleted, or not whole")))
        return Outcome(deletion)

    async def _delete(self, deletion: Deletion) -> None:
        async with AsyncExitStack() as stack:
            held: Hold | None = None
            record = next((blob for blob in deletion.blobs if blob.name.endswith(RECORD)), None)
            if record:
                records = SaveRecords(self._accounts, record.account_id)
                held = await stack.enter_async_context(records.hold(record.name.removesuffix(RECORD), patience=0))
                for disk in held.disks:
                    await self._access.revoke(disk)
            for vhd in deletion.vhds:
                if not await is_unchanged(self._accounts, vhd):
                    raise changed(vhd)
            for blob in deletion.blobs:
                if blob is not record:
                    await delete_blob(self._accounts, blob)
            if held:
                await held.remove()
