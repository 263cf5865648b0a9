"""After an operation that failed, a run declares what it would have left out, so that the engine deletes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pulumi.runtime import mocks, rpc

from components.distribution import distribute
from components.ending import finish
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.stacks.deletions import deletions
from imagefactory.state.stack_state import CUSTOM_IMAGE, StackState
from tests.components.test_deletions import STACK, images, worlds
from tests.components.test_lab_images import SETTINGS, SOURCE, SUBSCRIPTION, Recorder
from tests.unit.builders import catalog, configuration, facts


class Failing(Recorder):
    """Operations on some custom images fail: their outputs are unknown."""

    def __init__(self, failing: set[str]) -> None:
        super().__init__()
        self._failing = failing

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        resource, outputs = super().new_resource(args)
        is_failing = args.typ == CUSTOM_IMAGE and args.name in self._failing
        return resource, {**outputs, "provisioningState": rpc.UNKNOWN} if is_failing else outputs


def ended(plan: Plan, state: StackState, by: Settings, failing: set[str]) -> Recorder:
    """What a whole run declares."""
    recorder = Failing(failing)

    @mocks.test  # type: ignore[untyped-decorator]  # pulumi types its mocks, but not this decorator
    async def program() -> None:
        await finish(plan, await distribute(plan, SOURCE, by, state), by, state)

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        mocks.set_mocks(recorder, preview=False)
        program()
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return recorder


@settings(deadline=None)
@given(
    world=worlds(),
    made=st.lists(images, max_size=5, unique_by=lambda one: one.vhd_name),
    setting=st.sampled_from(["never", "otherLabs", "always"]),
    data=st.data(),
)
def test_what_is_deleted_after_an_error_is_what_the_setting_says(
    world: tuple[dict[TargetLab, LabFacts | Diagnostic], StackState], made: list[Any], setting: Any, data: st.DataObject
) -> None:
    """Whatever labs, factory, state and failures are; without a failure, it is what the plan deletes."""
    labs, state = world
    state = replace(state, subscriptions={name.rpartition("/")[0]: SUBSCRIPTION for name in state.chains})
    found, by = catalog(*made), SETTINGS.model_copy(update={"delete_after_errors": setting})
    answered = {each.key: answer for each, answer in labs.items()}
    plan = build_plan(configuration(*labs), found, facts("factory"), answered, by, state.images, state.recorded, STACK)
    # A failure of the plan is another rule, and its resource fails under mocks, too.
    plan = replace(plan, failures=())
    planned = sorted(f"{lab.label}/{image.name}" for lab in plan.labs for image in lab.images)
    failing = set(data.draw(st.lists(st.sampled_from(planned), unique=True))) if planned else set()
    leaving = {f"{one.lab}/{one.name}" for one in deletions(plan, state.images, state.recorded_gallery, found, by)}
    if failing and setting == "never":
        leaving = set()
    if setting == "otherLabs":
        labels = {name.rpartition("/")[0] for name in failing}
        leaving = {name for name in leaving if name.rpartition("/")[0] not in labels}
    assert state.images - ended(plan, state, by, failing).of(CUSTOM_IMAGE).keys() == leaving
