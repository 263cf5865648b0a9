"""The program's SDK sends no debug message, unless the user asks for them, and computes no URN that nobody reads."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks, resource

from components import quiet_sdk as quiet
from components.quiet_sdk import VARIABLE, quiet_sdk
from tests.components.test_lab_images import Recorder


class Engine(mocks.MockEngine):
    """Keeps the messages that it receives."""

    def __init__(self) -> None:
        super().__init__(None)
        self.messages: list[str] = []

    def Log(self, request: Any) -> None:
        self.messages.append(request.message)


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch, current_loop: None) -> Iterator[list[str]]:
    """The messages that an engine receives; the collector and the SDK are as before afterwards."""
    thresholds = gc.get_threshold()
    monkeypatch.setattr(pulumi.log, "debug", pulumi.log.debug)
    monkeypatch.setattr(resource, "create_urn", resource.create_urn)
    mocks.set_mocks(Recorder())
    engine = Engine()
    monkeypatch.setattr(pulumi.log, "get_engine", lambda: engine)
    yield engine.messages
    gc.set_threshold(*thresholds)


@pytest.mark.parametrize(("environment", "sent"), [({}, False), ({VARIABLE: "1"}, True)])
def test_debug_messages_of_a_registration_are_sent_only_on_request(
    messages: list[str], environment: dict[str, str], sent: bool
) -> None:
    """All other messages are sent in any case."""
    quiet_sdk(environment)

    def declare() -> None:
        pulumi.ComponentResource("test:index:Nothing", "nothing")

    pulumi.runtime.test(declare)()  # type: ignore[no-untyped-call]  # the SDK has no types for it
    assert any("registering resource" in each for each in messages) == sent
    pulumi.log.warn("look")
    assert messages[-1] == "look"


@pytest.mark.usefixtures("messages")
def test_no_urn_is_computed_for_a_registration_but_for_each_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URN of a resource is the engine's; that of an alias is the SDK's own."""
    computed: list[object] = []

    def create(name: object, *rest: object, **named: object) -> object:
        computed.append(name)
        return original(name, *rest, **named)  # type: ignore[arg-type]

    original = quiet._create_urn
    monkeypatch.setattr(quiet, "_create_urn", create)
    quiet_sdk({})
    urns: list[str] = []

    def declare() -> pulumi.Output[None]:
        parent = pulumi.ComponentResource("test:index:Parent", "parent")
        aliased = pulumi.ResourceOptions(parent=parent, aliases=[pulumi.Alias(name="former")])
        child = pulumi.ComponentResource("test:index:Child", "child", None, aliased)
        return pulumi.Output.all(child.urn, *child._aliases).apply(urns.extend)

    pulumi.runtime.test(declare)()  # type: ignore[no-untyped-call]
    assert [each.rpartition("$")[2] for each in urns] == ["test:index:Child::child", "test:index:Child::former"]
    assert computed == ["former"]
