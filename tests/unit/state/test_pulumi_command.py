"""The `pulumi` command at the edge: what it answers, how it fails, and what a hand-over between stacks leaves then."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from imagefactory.planning.stacks.adoption import Adoption, Finding, LabAdoption
from imagefactory.state.adopt import Planned, carry_out
from imagefactory.state.pulumi_command import BACKUPS, back_up, export, read_state, write
from imagefactory.state.stack_state import NoStack, StateError, resources_of
from tests.unit.builders import facts, standing
from tests.unit.state.test_adopt import answered, request

STANDIN = """#!/bin/sh
stack=$4
if [ -e "$STATES/$stack.fails-$2" ]; then cat "$STATES/$stack.fails-$2" >&2; exit 1; fi
if [ -e "$STATES/$stack.slow-$2" ]; then touch "$STATES/$stack.begun-$2"; sleep 0.5; fi
if [ "$2" = export ]; then cat "$STATES/$stack"; else cat >"$STATES/$stack"; fi
"""
"""Stands in for the command: a state is a file, and a file beside it is the error of the next command."""
EMPTY: dict[str, Any] = {"version": 3, "deployment": {}}


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the states of the stacks `dev` and `prod`, both empty; also the working directory."""
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(STANDIN, "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("STATES", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for stack in ("dev", "prod"):
        (tmp_path / stack).write_text(json.dumps(EMPTY), "utf-8")
    return tmp_path


def images(states: Path, stack: str) -> list[str]:
    """The ids of the images in a state."""
    resources = resources_of(json.loads((states / stack).read_text("utf-8")))
    return [each["id"] for each in resources if each["type"].endswith(":CustomImage")]


def test_a_command_that_fails_or_is_missing_is_one_line_with_its_remedy(
    states: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing stack is an error of its own; no error shows a secret that the command printed."""
    (states / "dev.fails-export").write_text("error: no stack named 'dev' found\n", "utf-8")
    with pytest.raises(NoStack, match="no stack named 'dev' found"):
        asyncio.run(read_state("dev"))
    (states / "prod.fails-import").write_text("error: locked by https://x/y?sig=abc\nmore", "utf-8")
    with pytest.raises(
        StateError, match=r"is as before: locked by \S+\. If no other .* pulumi cancel --stack prod"
    ) as told:
        asyncio.run(write("prod", EMPTY, Path("backup")))
    assert "abc" not in str(told.value) and "more" not in str(told.value)
    monkeypatch.setenv("PATH", str(states))
    with pytest.raises(StateError, match="not on the PATH"):
        asyncio.run(export("prod"))


def test_a_backup_is_private_and_never_replaced(states: Path) -> None:
    """A folder that cannot be made is an error before anything is changed."""
    now = datetime(2026, 11, 27, tzinfo=timezone.utc)
    path = back_up("dev", b"state", now)
    assert path.parent == BACKUPS and path.read_bytes() == b"state" and path.stat().st_mode & 0o077 == 0
    with pytest.raises(StateError, match=r"cannot be backed up .* \(File exists\); nothing is changed"):
        back_up("dev", b"another", now)
    assert path.read_bytes() == b"state"


def planned(states: Path, other: str | None = None) -> Planned:
    """A decision to take one image over into `dev`, from the states as they are."""
    team = facts("team")
    image = answered(team, standing("a"))
    lab = LabAdoption("team@1", team, (Finding("take over", "a", image, ""),))
    before = [(states / stack).read_bytes() for stack in ("dev", "prod")]
    return Planned(request(other=other), Adoption((lab,)), before[0], before[1] if other else None)


def test_a_state_that_changed_since_it_was_read_is_not_replaced(states: Path) -> None:
    """Of either stack; nothing is written then."""
    for stack in ("dev", "prod"):
        wish = planned(states, "prod")
        before = {each: (states / each).read_bytes() for each in ("dev", "prod")}
        changed = json.dumps({**EMPTY, "deployment": {"manifest": {"by": stack}}}).encode()
        (states / stack).write_bytes(changed)
        with pytest.raises(StateError, match=f"stack {stack}: its state changed meanwhile; nothing is taken over"):
            asyncio.run(carry_out(wish))
        assert {each: (states / each).read_bytes() for each in ("dev", "prod")} == {**before, stack: changed}
        assert not BACKUPS.exists()


async def test_a_write_that_is_canceled_is_finished_first(states: Path) -> None:
    """Both states of a hand-over are written, and the caller gets the result."""
    mine = await carry_out(planned(states))
    (states / "prod").write_bytes((states / "dev").read_bytes().replace(b"urn:pulumi:dev", b"urn:pulumi:prod"))
    (states / "dev").write_text(json.dumps(EMPTY), "utf-8")
    (states / "prod.slow-import").touch()
    task = asyncio.ensure_future(carry_out(planned(states, "prod")))
    while not (states / "prod.begun-import").exists():  # noqa: ASYNC110 - another process makes the file
        await asyncio.sleep(0.01)
    task.cancel()
    done = await task
    assert len(images(states, "dev")) == 1 and images(states, "prod") == []
    assert len(mine.backups) == 1 and len(done.backups) == 2


def test_a_hand_over_that_fails_half_way_leaves_the_image_in_no_state(states: Path) -> None:
    """An image in two states could be deleted by one of them; the same command finishes it."""
    mine = asyncio.run(carry_out(planned(states)))
    assert len(mine.backups) == 1
    (states / "prod").write_bytes((states / "dev").read_bytes().replace(b"urn:pulumi:dev", b"urn:pulumi:prod"))
    (states / "dev").write_text(json.dumps(EMPTY), "utf-8")
    (states / "dev.fails-import").write_text("error: no", "utf-8")
    with pytest.raises(StateError, match="stack dev: its state cannot be written"):
        asyncio.run(carry_out(planned(states, "prod")))
    assert images(states, "dev") == images(states, "prod") == []
    (states / "dev.fails-import").unlink()
    done = asyncio.run(carry_out(planned(states, "prod")))
    assert len(images(states, "dev")) == 1 and images(states, "prod") == []
    assert [each.read_bytes() for each in done.backups] == [json.dumps(EMPTY).encode()]
