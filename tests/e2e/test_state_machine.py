"""Sequences of changes and faults drawn from a seed: whatever happens, the stack stays sound and ends at the plan.

After every step: the state is usable, no image is lost that the plan wants and the cloud could give, nothing is deleted
that was not retired. Once the faults end, one `up --refresh` reaches the plan.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.world import Lab, Run, World

pytestmark = pytest.mark.engine

PATHS = ("Win2016/Datacenter.json", "Win2016/Core.json", "Ubuntu/Jammy.json")
WISHES = (["Win2016"], ["Win2016/Core.json"], ["Ubuntu"], ["Win2016", "Ubuntu"])
REGIONS = ("westeurope", "eastus", "eastus")
"""The factory's, and one to which images cross by way of a relay."""
EVERY = "*"
"""Stands for images that come later."""
STEPS = 7
SEEDS = [int(seed) for seed in os.environ.get("STATE_MACHINE_SEEDS", "0 2 9 25").split()]
"""More can be tried by hand: STATE_MACHINE_SEEDS='10 11 12' python3 dev.py test tests/e2e/test_state_machine.py"""
REFUSED = {"status": 403, "code": "Injected", "message": "injected"}


class Machine:
    """A world under random changes, and what is known of each image's fate."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.draw = random.Random(seed)
        self.day = 0
        self.faults: list[dict[str, Any]] = []
        self.unreadable: set[str] = set()
        self.afflicted: set[tuple[str, str]] = set()
        """(lab, image) whose copy, creation or deletion a fault may stop."""
        self.by_hand: set[tuple[str, str]] = set()
        """(lab, image) deleted by hand and not yet refreshed."""
        self.rebuilt: set[tuple[str, str]] = set()
        """(lab, image) whose image may have been removed to make room for the rebuilt one."""
        self.regions = {"web": "westeurope", "data": self.draw.choice(REGIONS)}
        self.story: list[str] = []
        for path in PATHS:
            self.world.define(path)
        for name in ("web", "data"):
            self.world.add_lab(name, *self.draw.choice(WISHES), region=self.regions[name])
        self.image_comes()

    def image_comes(self) -> None:
        """One or two factory images of new days."""
        chosen = self.draw.sample(PATHS, self.draw.randint(1, 2))
        self.day += 1
        self.note("come", self.world.add_images(*((path, self.day) for path in chosen)))

    def image_is_retired(self) -> None:
        """A factory image goes, if it is not the last."""
        if len(self.world.images) > 1:
            name = self.draw.choice(sorted(self.world.images))
            self.world.retire(name)
            self.note("retire", name)

    def image_is_rebuilt(self) -> None:
        """A factory image is replaced by one of the same name and another VHD."""
        name = self.draw.choice(sorted(self.world.images))
        self.world.rebuild(name)
        self.rebuilt.update((lab, name) for lab in self.world.labs)
        self.note("rebuild", name)

    def lab_is_added(self) -> None:
        """A lab enters labs.json: a new one, or one that had left."""
        absent = sorted(set(self.world.labs) - set(self.world.wishes))
        if absent and self.draw.random() < 0.5:
            self.world.wishes[absent[0]] = self.draw.choice(WISHES)
            self.note("return", absent[0])
        elif len(self.world.labs) < 4:
            name = f"lab{len(self.world.labs)}"
            region = self.draw.choice(REGIONS)
            shared = [lab for other, lab in self.world.labs.items() if self.regions[other] == region]
            account = self.draw.choice(shared).account if shared and self.draw.random() < 0.3 else None
            self.regions[name] = region
            self.world.add_lab(name, *self.draw.choice(WISHES), region=region, account=account)
            self.note("add", f"{name} in {region}" + " (shared account)" * (account is not None))

    def lab_is_removed(self) -> None:
        """A lab leaves labs.json, if it is not the last."""
        if len(self.world.wishes) > 1:
            name = self.draw.choice(sorted(self.world.wishes))
            del self.world.wishes[name]
            self.note("remove", name)

    def lab_cannot_be_read(self) -> None:
        """Reads of one lab are refused until the faults end."""
        name = self.draw.choice(sorted(self.world.wishes))
        self.unreadable.add(name)
        self.inject("arm", "GET", f"/labs/{name}/customimages", REFUSED, self.world.labs[name])
        self.note("unreadable", name)

    def image_is_deleted_by_hand(self) -> None:
        """Somebody deletes a custom image in the portal."""
        held = [(name, image) for name, lab in sorted(self.world.labs.items()) for image in self.held(lab)]
        held = [each for each in held if each[0] not in self.unreadable]
        if held:
            name, image = self.draw.choice(held)
            with self.past_the_faults():
                self.world.delete_image(self.world.labs[name], image)
            self.by_hand.add((name, image))
            self.note("delete by hand", f"{name}/{image}")

    def copy_fails(self) -> None:
        """Ranges of one image are refused in one lab's account."""
        lab, image = self.any_pair()
        refusal = {"status": 400, "code": "Injected"}
        self.inject("blob", "PUT", f"/{lab.account}/.*{self.world.images[image]}.*comp=page", refusal, lab, image)

    def image_fails(self) -> None:
        """Azure fails to make one custom image."""
        lab, image = self.any_pair()
        failure = {"imageFails": {"code": "Injected", "message": "injected"}}
        self.inject(
            "arm", "PUT", f"{lab.subscription}.*/labs/{lab.name}/customimages/{image}(\\?|$)", failure, lab, image
        )

    def delete_fails(self) -> None:
        """Deletes of custom images, or of staged VHDs, are refused in one lab."""
        lab = self.world.labs[self.draw.choice(sorted(self.world.labs))]
        service, path = self.draw.choice((("arm", f"/labs/{lab.name}/customimages/"), ("blob", f"/{lab.account}/")))
        self.inject(service, "DELETE", path, REFUSED, lab)

    def faults_end(self) -> None:
        """Everything works again."""
        self.faults.clear()
        self.unreadable.clear()
        self.world.cloud.clear_faults()
        self.note("faults", "end")

    def inject(
        self, service: str, method: str, path: str, action: dict[str, Any], lab: Lab, image: str | None = None
    ) -> None:
        """Add a fault that may stop one image, or every image, of a lab."""
        self.faults.append({"service": service, "method": method, "path": path, "action": action})
        self.world.cloud.set_faults(self.faults)
        for name in [image] if image else [*self.world.images, EVERY]:
            self.afflicted |= {(each.name, name) for each in self.world.labs.values() if each.account == lab.account}
        self.note("fault", f"{service} {method} {lab.name}/{image or '*'}")

    def any_pair(self) -> tuple[Lab, str]:
        """A lab and a factory image."""
        lab = self.world.labs[self.draw.choice(sorted(self.world.labs))]
        return lab, self.draw.choice(sorted(self.world.images))

    def note(self, what: str, which: object) -> None:
        """Remember a step for the message of a failing test."""
        self.story.append(f"{what} {which}")

    def held(self, lab: Lab) -> set[str]:
        """The images that stand whole in a lab."""
        with self.past_the_faults():
            return {name for name, state in self.world.held(lab).items() if state == "Succeeded"}

    @contextmanager
    def past_the_faults(self) -> Iterator[None]:
        """The faults hit the program, not the one who looks at the cloud."""
        self.world.cloud.clear_faults()
        yield
        self.world.cloud.set_faults(self.faults)

    def wanted(self, name: str) -> set[str]:
        """What the plan wants in a lab."""
        return self.world.wanted(self.world.wishes.get(name, []))

    def step(self) -> None:
        """A few changes, a run, and what must hold after it."""
        before = {name: self.held(lab) for name, lab in self.world.labs.items()}
        for _ in range(self.draw.randint(1, 3)):
            actions: list[Callable[[], None]] = [
                self.image_comes, self.image_is_retired, self.image_is_rebuilt, self.lab_is_added, self.lab_is_removed,
                self.lab_cannot_be_read, self.image_is_deleted_by_hand, self.copy_fails, self.image_fails,
                self.delete_fails, self.faults_end,
            ]  # fmt: skip
            self.draw.choice(actions)()
        refresh = not self.unreadable and self.draw.random() < 0.4
        run = self.world.up(*(["--refresh"] if refresh else []))
        self.note("up" + " --refresh" * refresh, run.code)
        self.check(run, before, refresh)

    def check(self, run: Run, before: dict[str, set[str]], refreshed: bool) -> None:
        """What must hold after every run."""
        told = "\n".join([*self.story, run.output])
        if not self.faults:
            self.afflicted.clear()
        deleted, self.by_hand = self.by_hand, set() if refreshed else self.by_hand
        assert "integrity" not in run.output and "Traceback" not in run.output, told
        assert self.world.state()["resources"], told
        for name, lab in self.world.labs.items():
            now, wanted = self.held(lab), self.wanted(name)
            lost = before.get(name, set()) - now
            allowed = {image for n, image in deleted | self.rebuilt if n == name} | (before.get(name, set()) - wanted)
            assert lost <= allowed, f"{name} lost {lost - allowed}\n{told}"
            if name in self.unreadable or name not in self.world.wishes:
                continue
            excused = {image for n, image in self.afflicted | self.by_hand if n == name}
            excused |= wanted if EVERY in excused else set()
            assert wanted - now <= excused, f"{name} lacks {wanted - now - excused}\n{told}"
        if self.unreadable & set(self.world.wishes):
            assert run.code != 0, told

    def finish(self) -> None:
        """Once faults end, one `up --refresh` reaches the plan, and the next run does nothing."""
        self.faults_end()
        run = self.world.up("--refresh")
        told = "\n".join([*self.story, run.output])
        assert run.code == 0, told
        for name, lab in self.world.labs.items():
            assert self.world.held(lab) == dict.fromkeys(self.wanted(name), "Succeeded"), f"{name}\n{told}"
            assert self.world.staged(lab) == [], f"{name}\n{told}"
            for image in self.wanted(name):
                source = self.world.image(lab, image)["tags"]["SourceVhd"]
                assert source == self.world.images[image], f"{name}/{image} is of the wrong VHD\n{told}"
        assert self.world.up().only_unchanged, told


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", SEEDS)
def test_any_sequence_of_changes_and_faults_keeps_the_stack_sound_and_ends_at_the_plan(world: World, seed: int) -> None:
    """See the module's docstring."""
    machine = Machine(world, seed)
    for _ in range(STEPS):
        machine.step()
    machine.finish()
