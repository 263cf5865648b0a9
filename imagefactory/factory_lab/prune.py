"""Pruning: reads the factory and its labs, plans, and runs each deletion of the plan.

Deletes only what is unchanged since planning: checks the VHDs first, then deletes each blob by its ETag. Meanwhile it
holds the lease on the save's record, so that no save resumes, and it revokes access that a terminated save left active
before it deletes the record. Does not choose what to delete: `imagefactory.planning.factory.prune_plan` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from imagefactory.aio.surely import surely
from imagefactory.azure.connect import connect
from imagefactory.azure.core.errors import CloudError, consequence
from imagefactory.azure.disk_access import DiskAccess
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.blob_lists import changed, delete_blob, is_unchanged
from imagefactory.azure.storage.save_records import Hold, SaveHeld, SaveRecords, records_of
from imagefactory.configuration.loading import load_stacks
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.factory_lab.prune_inputs import read_prune_inputs
from imagefactory.observed.factory_blobs import RECORD
from imagefactory.planning.factory.prune_plan import (
    Deletion,
    PrunePlan,
    PruneRules,
    agreed_keep,
    keep_warnings,
    plan_prune,
)
from imagefactory.planning.factory.ring_needs import ring_needs
from imagefactory.planning.retention import with_keep
from imagefactory.telemetry.phases import phase

MAX_CONCURRENT = 16


@dataclass(frozen=True)
class DeletionOutcome:
    """The result of a deletion; without an error, all its blobs are deleted."""

    deletion: Deletion
    error: str = ""

    @property
    def result(self) -> str:
        """The value in JSON and text."""
        return "failed" if self.error else "deleted"


@dataclass(frozen=True)
class PruneReport:
    """The plan and its results."""

    keep: int
    plan: PrunePlan
    warnings: tuple[str, ...]
    problems: tuple[str, ...]
    """Errors: what could not be read, and which storage accounts exceed the deletion limit."""
    held_back: Set[str]
    """Storage accounts that exceed the limit, so nothing is deleted there; ARM ids in lower case."""
    dry_run: bool
    outcomes: tuple[DeletionOutcome, ...] = ()
    """Deletions without an outcome were not started."""

    @property
    def going(self) -> tuple[Deletion, ...]:
        """The deletions to run: those in accounts within the limit; none in a dry run."""
        deletions = (one for one in self.plan.deletions if one.account_id not in self.held_back)
        return () if self.dry_run else tuple(deletions)

    @property
    def results(self) -> tuple[tuple[Deletion, str, str], ...]:
        """Each deletion of the plan with its result, and the error if it failed."""
        outcomes = {outcome.deletion.key: outcome for outcome in self.outcomes}
        not_started = "would be deleted" if self.dry_run else "not done"
        return tuple(
            (one, outcome.result, outcome.error)
            if (outcome := outcomes.get(one.key))
            else (one, "not deleted" if one.account_id in self.held_back else not_started, "")
            for one in self.plan.deletions
        )

    @property
    def failures(self) -> tuple[str, ...]:
        """All errors."""
        return (*self.problems, *(outcome.error for outcome in self.outcomes if outcome.error))


async def plan(
    stacks: Mapping[str, Settings], now: datetime, *, keep: int | None, max_deletes: int, dry_run: bool
) -> PruneReport:
    """Plan at `now` (UTC) what to delete from the factory that these stacks (by name) share, as the first one sets it.

    `keep`: how many images of each image path to keep; None: as the stacks set it. In a storage account with more than
    `max_deletes` deletions, nothing is deleted. Raises `ConfigurationError` if neither `keep` nor a stack sets it, and
    `ImageFactoryError` if the factory lab, its storage or its VMs cannot be read.
    """
    configured = load_stacks(stacks)
    policies = with_keep(stacks, keep)
    kept = agreed_keep(policies)
    async with connect(configured[0][0]) as (arm, accounts):
        with consequence("nothing is deleted"):
            inputs = await read_prune_inputs(arm, accounts, configured, now)
    limited = [replace(one, policy=by) for one, by in zip(inputs.stacks, policies.values(), strict=True)]
    needed = ring_needs(limited, inputs.catalog, now)
    rules = PruneRules(policies, inputs.vms, inputs.last_good, inputs.galleries, needed)
    found = plan_prune(inputs.catalog, inputs.blobs, rules, inputs.staged, inputs.needs, now)
    warnings = keep_warnings(kept, stacks)
    warnings += (record.diagnostic for record in records_of(inputs.blobs) if record.diagnostic)
    exceeding = found.exceeding(max_deletes)
    problems = [*inputs.unread, *(_held_back(account, count, max_deletes) for account, count in exceeding.items())]
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
    remedy = f"Review the plan; to proceed, pass --max-deletes {count}"
    return error(subject, fact, "nothing is deleted in this account", remedy)


async def carry_out(settings: Settings, report: PruneReport, ended: Callable[[DeletionOutcome], None]) -> PruneReport:
    """Run the deletions of a report; call `ended` with the outcome of each one that was started.

    If canceled, finish the deletions in progress and return the outcomes so far.
    """
    outcomes: list[DeletionOutcome] = []

    def note(outcome: DeletionOutcome) -> None:
        outcomes.append(outcome)
        ended(outcome)

    with suppress(asyncio.CancelledError):
        async with connect(settings) as (arm, accounts):
            with phase("delete"):
                await Pruner(accounts, DiskAccess(arm, accounts), note).prune(report.going)
    return replace(report, outcomes=tuple(outcomes))


class Pruner:
    """Runs deletions in parallel."""

    def __init__(self, accounts: StorageAccounts, access: DiskAccess, ended: Callable[[DeletionOutcome], None]) -> None:
        """`ended` is called with the outcome of each deletion that was started."""
        self._accounts, self._access, self._ended = accounts, access, ended

    async def prune(self, deletions: Iterable[Deletion]) -> None:
        """Run the deletions. On cancellation, finish those in progress and start no others."""
        gate, stopping = asyncio.Semaphore(MAX_CONCURRENT), asyncio.Event()

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

    async def _outcome(self, deletion: Deletion) -> DeletionOutcome:
        try:
            await self._delete(deletion)
        except SaveHeld:
            fact, remedy = "is held by an active save", "Run again when the save has finished"
            return DeletionOutcome(deletion, error(deletion.name, fact, "it is not deleted", remedy).message())
        except CloudError as problem:
            return DeletionOutcome(deletion, str(problem.so(f"{deletion.name} is not deleted, or only in part")))
        return DeletionOutcome(deletion)

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
