"""Sequences of changes and faults drawn from a seed: whatever happens, the stack stays sound and ends at the plan.

Each run is that of a pipeline: adopt, then up. After every step: the state is usable, no image is lost that the plan
wants and the cloud could give, nothing is deleted that was not retired, no standing image is written to by adopt, and
no lab has lost its last good image of a path that it still lists. Once the faults end, two runs reach the plan: the
first creates what is missing, the second retires what has its successors.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.gallery_world import GalleryWorld
from tests.e2e.policies import Policies
from tests.e2e.world import Lab, Run

pytestmark = pytest.mark.engine

PATHS = ("Win2016/Datacenter.json", "Win2016/Core.json", "Ubuntu/Jammy.json")
WISHES = (["Win2016"], ["Win2016/Core.json"], ["Ubuntu"], ["Win2016", "Ubuntu"])
REGIONS = ("westeurope", "eastus", "eastus")
"""The factory's, and one to which images cross by way of a relay."""
EVERY = "*"
"""Stands for all images of an account, and for those that come later."""
REFUSED = {"status": 403, "code": "Injected", "message": "injected"}


class Machine:
    """A world under random changes, and what is known of each image's fate."""

    def __init__(self, world: GalleryWorld, seed: int) -> None:
        self.world = world
        self.draw = random.Random(seed)
        self.day = 0
        self.faults: list[dict[str, Any]] = []
        self.unreadable: set[str] = set()
        self.afflicted: set[tuple[str, str]] = set()
        """(storage account, image or EVERY): what a fault may stop in all labs of that account, whenever they come."""
        self.by_hand: set[tuple[str, str]] = set()
        """(lab, VHD) deleted by hand and not yet refreshed."""
        self.damaged: set[str] = set()
        """Images whose VHD no lab can get."""
        self.regions = {"web": "westeurope", "data": self.draw.choice(REGIONS)}
        self.pins: dict[str, str] = {}
        self.lost = False
        """Whether the state was lost once, so that nobody knows of what was staged before."""
        self.forgotten: set[str] = set()
        """Labs that left labs.json before their images were known in the state: nobody will delete these."""
        self.unknown: set[str] = set()
        """Labs whose images the state does not know, or not at their place, until the next adoption."""
        self.story: list[str] = []
        self.world.settings["delivery"] = "customImage"
        self.policies = Policies(self.draw)
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
            self.pins = {path: pinned for path, pinned in self.pins.items() if pinned != name}
            self.note("retire", name)

    def image_is_rebuilt(self) -> None:
        """A factory image is replaced by one of the same name and another VHD."""
        name = self.draw.choice(sorted(self.world.images))
        self.world.rebuild(name)
        self.damaged.discard(name)
        self.note("rebuild", name)

    def image_is_damaged(self) -> None:
        """The footer of a factory image's VHD is overwritten: no lab can get it, until it is rebuilt."""
        name = self.draw.choice(sorted(self.world.images))
        self.world.damage(name)
        self.damaged.add(name)
        self.note("damage", name)

    def pin_changes(self) -> None:
        """A path is pinned to one of its images, or no longer pinned."""
        name = self.draw.choice(sorted(self.world.images))
        path, _ = self.world.origins[name]
        if self.pins.pop(path, None) is None:
            self.pins[path] = name
        self.note("pins", self.pins)

    def policy_changes(self) -> None:
        """One of the settings that say which images labs have, and when."""
        self.note("policy", self.policies.change(sorted(self.world.images)))

    def set_policies(self) -> None:
        """Write the settings for the next run."""
        self.world.settings = self.policies.among(self.world.settings, self.world.images, self.world.wishes)
        self.world.settings["pins"] = self.pins

    def lab_is_added(self) -> None:
        """A lab enters labs.json: a new one, or one that had left."""
        absent = sorted(set(self.world.labs) - set(self.world.wishes))
        if absent and self.draw.random() < 0.5:
            self.world.wishes[absent[0]] = self.draw.choice(WISHES)
            self.note("return", absent[0])
        elif len(self.world.labs) < 4:
            name = f"lab{len(self.world.labs)}"
            region = self.draw.choice(REGIONS)
            here = ("labs", self.world.subscription)
            shared = [
                lab
                for other, lab in self.world.labs.items()
                if self.regions[other] == region and (lab.group, lab.subscription) == here
            ]
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

    def lab_changes_its_delivery(self) -> None:
        """A lab gets its images another way."""
        name = self.draw.choice(sorted(self.world.wishes))
        self.world.deliveries[name] = self.draw.choice(("customImage", "gallery", "gallery", "both"))
        self.note("delivery", f"{name} {self.world.deliveries[name]}")

    def lab_cannot_be_read(self) -> None:
        """Reads of one lab are refused until the faults end."""
        name = self.draw.choice(sorted(self.world.wishes))
        self.unreadable.add(name)
        self.inject("arm", "GET", f"/labs/{name}/customimages", REFUSED, self.world.labs[name])
        self.note("unreadable", name)

    def image_is_deleted_by_hand(self) -> None:
        """Somebody deletes a custom image in the portal."""
        held = [
            (lab, image, vhd)
            for lab, world_lab in sorted(self.world.labs.items())
            for vhd, (_, image) in sorted(self.held(world_lab, by_gallery=False).items(), key=lambda each: each[1])
            if lab not in self.unreadable
        ]
        if held:
            name, image, vhd = self.draw.choice(held)
            with self.past_the_faults():
                self.world.delete_image(self.world.labs[name], image)
            self.by_hand.add((name, vhd))
            self.note("delete by hand", f"{name}/{image}")

    def lab_moves(self) -> None:
        """A lab is moved to another resource group or subscription, with its account, if no other lab shares it."""
        name = self.draw.choice(sorted(self.world.labs))
        lab = self.world.labs[name]
        if sum(other.account == lab.account for other in self.world.labs.values()) == 1 and not self.faults:
            kept = self.draw.random() < 0.5
            subscription = lab.subscription if kept else str(uuid.UUID(int=self.draw.getrandbits(128), version=4))
            self.world.move_lab(lab, group=f"group{self.draw.randrange(1000)}", subscription=subscription)
            self.unknown.add(name)
            self.note("move", f"{name} to another {'resource group' if kept else 'subscription'}")

    def state_is_lost(self) -> None:
        """The whole state is gone."""
        if self.draw.random() < 0.5:
            self.world.lose_state()
            self.lost = True
            self.unknown |= set(self.world.labs)
            self.note("lose", "the state")

    def copy_fails(self) -> None:
        """Ranges of one image are refused in one lab's account."""
        lab, image = self.any_pair()
        refusal = {"status": 400, "code": "Injected"}
        self.inject("blob", "PUT", f"/{lab.account}/.*{self.world.images[image]}.*comp=page", refusal, lab, image)

    def image_fails(self) -> None:
        """Azure fails to make one custom image."""
        lab, image = self.any_pair()
        failure = {"imageFails": {"code": "Injected", "message": "injected"}}
        self.inject("arm", "PUT", f"{lab.subscription}.*/labs/{lab.name}/customimages/{image}[?-]", failure, lab, image)

    def replication_fails(self) -> None:
        """Azure cannot replicate versions to one region."""
        failure = {"replicationFails": {"code": "Injected", "message": "injected"}}
        path = f"/regions/{self.draw.choice(REGIONS)}"
        self.faults.append({"service": "arm", "method": "PUT", "path": path, "action": failure})
        self.world.cloud.set_faults(self.faults)
        self.note("fault", f"replication {path}")

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
        """Add a fault that may stop one image, or every image, of the labs of an account."""
        self.faults.append({"service": service, "method": method, "path": path, "action": action})
        self.world.cloud.set_faults(self.faults)
        self.afflicted.add((lab.account, image or EVERY))
        self.note("fault", f"{service} {method} {lab.name}/{image or '*'}")

    def any_pair(self) -> tuple[Lab, str]:
        """A lab and a factory image."""
        lab = self.world.labs[self.draw.choice(sorted(self.world.labs))]
        return lab, self.draw.choice(sorted(self.world.images))

    def note(self, what: str, which: object) -> None:
        """Remember a step for the message of a failing test."""
        self.story.append(f"{what} {which}")

    def storage_refuses(self) -> None:
        """Writes to one lab's storage account are refused."""
        lab = self.world.labs[self.draw.choice(sorted(self.world.labs))]
        self.inject("blob", "PUT", f"/{lab.account}/", REFUSED, lab)

    def held(self, lab: Lab, *, by_gallery: bool = True) -> dict[str, tuple[str, str]]:
        """The images that users of a lab can use, by the VHD that they were made from: image path, name."""
        with self.past_the_faults():
            offered = self.world.offered(lab, self.regions[lab.name]) if by_gallery else {}
            return {**offered, **self.world.sources(lab)}

    @contextmanager
    def past_the_faults(self) -> Iterator[None]:
        """The faults hit the program, not the one who looks at the cloud."""
        self.world.cloud.clear_faults()
        yield
        self.world.cloud.set_faults(self.faults)

    def wanted(self, name: str) -> set[str]:
        """The VHDs that the plan wants in a lab: of each path the pinned image, else those that the policies give."""
        found: set[str] = set()
        for path in PATHS:
            images = self.world.wanted(self.world.wishes.get(name, [])) & self.world.wanted([path])
            newest = sorted(images, key=lambda image: self.world.origins[image][1], reverse=True)
            chosen = self.policies.chosen(newest, self.pins.get(path))
            found |= {self.world.images[image] for image in chosen}
        return found

    def listed(self, name: str, path: str) -> bool:
        """Whether labs.json gives an image path to a lab."""
        return any(path.startswith(wish) for wish in self.world.wishes.get(name, []))

    def step(self) -> None:
        """A few changes, a run, and what must hold after it."""
        before = {name: self.held(lab) for name, lab in self.world.labs.items()}
        for _ in range(self.draw.randint(1, 3)):
            actions: list[Callable[[], None]] = [
                self.image_comes, self.image_is_retired, self.image_is_rebuilt, self.image_is_damaged,
                self.pin_changes, self.lab_is_added, self.lab_is_removed, self.lab_cannot_be_read,
                self.image_is_deleted_by_hand, self.copy_fails, self.image_fails, self.storage_refuses,
                self.delete_fails, self.faults_end, self.lab_moves, self.state_is_lost,
                self.replication_fails, *[self.lab_changes_its_delivery] * 3, *[self.policy_changes] * 3,
            ]  # fmt: skip
            self.draw.choice(actions)()
        self.set_policies()
        refresh = not self.unreadable and self.draw.random() < 0.4
        self.adopt()
        run = self.world.up(*(["--refresh"] if refresh else []))
        self.note("up" + " --refresh" * refresh, run.code)
        self.check(run, before, refresh)

    def adopt(self) -> None:
        """What stands and is in no state is taken over, without a write."""
        self.forgotten |= self.unknown - set(self.world.wishes)
        self.forgotten -= set(self.world.wishes)
        self.unknown &= self.unreadable
        before = len(self.writes())
        run, unread = self.world.adopt(), self.unreadable & set(self.world.wishes)
        assert run.code == bool(unread) and len(self.writes()) == before, "\n".join([*self.story, run.output])
        if "Took over" in run.output:
            self.note("adopt", run.output.partition("Took over ")[2].partition(".")[0])

    def writes(self) -> list[tuple[str, str, int]]:
        """All writes of custom images."""
        return [write for lab in self.world.labs.values() for write in self.world.writes(lab)]

    def check(self, run: Run, before: dict[str, dict[str, tuple[str, str]]], refreshed: bool) -> None:
        """What must hold after every run."""
        told = "\n".join([*self.story, run.output])
        if not self.faults:
            self.afflicted.clear()
        deleted, self.by_hand = self.by_hand, set() if refreshed else self.by_hand
        assert "integrity" not in run.output and "Traceback" not in run.output, told
        assert self.world.state()["resources"], told
        names = {vhd: image for image, vhd in self.world.images.items()}
        for name, lab in self.world.labs.items():
            now, wanted, then = self.held(lab), self.wanted(name), before.get(name, {})
            revoked = {vhd for vhd, (_, image) in then.items() if self.policies.is_revoked(names.get(vhd, image))}
            gone = {vhd for n, vhd in deleted if n == name}
            lost = then.keys() - now.keys() - gone
            assert not lost & wanted, f"{name} lost {lost & wanted}\n{told}"
            for path in PATHS:
                good = [{vhd for vhd, (of, _) in held.items() if of == path} - gone for held in (then, now)]
                good[0] -= revoked
                assert not (self.listed(name, path) and good[0]) or good[1], f"{name} lost all of {path}\n{told}"
            if name in self.unreadable or name not in self.world.wishes:
                continue
            excused = {image for account, image in self.afflicted if account == lab.account} | self.damaged
            passed = self.passed(name, before, deleted)
            if self.world.deliveries.get(name, "customImage") == "customImage" and name in before:
                early = {names.get(vhd, vhd) for vhd in now.keys() - then.keys() if not passed(vhd, *now[vhd])}
                assert not early, f"{name} has {early} before its ring\n{told}"
            ripe = {vhd for vhd in wanted - now.keys() if passed(vhd, self.world.origins[names[vhd]][0])}
            missing = {vhd for vhd in ripe if EVERY not in excused and names[vhd] not in excused}
            missing -= {vhd for n, vhd in self.by_hand if n == name}
            replicates = not any("/regions/" in fault["path"] for fault in self.faults)
            by_gallery = self.world.deliveries.get(name, "customImage") != "customImage"
            assert not missing or (by_gallery and not replicates), f"{name} lacks {missing}\n{told}"
        if self.unreadable & set(self.world.wishes):
            assert run.code != 0, told
        if run.code == 0 and not self.lost:
            left = {name: self.world.staged(lab) for name, lab in self.world.labs.items() if self.world.staged(lab)}
            assert not left, f"staged VHDs that no resource will release: {left}\n{told}"

    def passed(
        self, name: str, before: dict[str, dict[str, tuple[str, str]]], deleted: set[tuple[str, str]]
    ) -> Callable[..., bool]:
        """Whether the ring of a lab takes a VHD: all labs of the first ring that take its path held it before."""
        first = [pilot for pilot in self.policies.pilots(self.world.wishes) if pilot != name]
        if name in self.policies.pilots(self.world.wishes):
            first = []

        def is_passed(vhd: str, path: str, *_: str) -> bool:
            return all(
                vhd in before.get(pilot, {}) and (pilot, vhd) not in deleted and pilot not in self.unreadable
                for pilot in first
                if self.listed(pilot, path)
            )

        return is_passed

    def finish(self) -> None:
        """Once faults end, what is damaged is rebuilt and no policy withholds images, two runs reach the plan, and the
        next one does nothing."""
        self.faults_end()
        self.policies.withhold_nothing()
        self.set_policies()
        for image in sorted(self.damaged & self.world.images.keys()):
            self.world.rebuild(image)
        self.adopt()
        run = self.world.up("--refresh")
        told = "\n".join([*self.story, run.output])
        assert run.code == 0, told
        self.adopt()
        run = self.world.up()
        assert run.code == 0, f"{told}\n{run.output}"
        covered = {path for path, _ in (self.world.origins[image] for image in self.world.images)}
        for name, lab in self.world.labs.items():
            if name in self.forgotten:
                continue
            held = self.held(lab)
            made = self.held(lab, by_gallery=False)
            assert len(made) == len(self.world.held(lab)), f"{name} has images that did not succeed\n{told}"
            delivery = self.world.deliveries.get(name, "customImage")
            assert not made.keys() & self.wanted(name) or delivery != "gallery", f"{name} has both\n{told}"
            assert not self.world.offers(lab) or delivery != "customImage", f"{name} has both\n{told}"
            # What the factory no longer has any image of is kept.
            left = {vhd for vhd, (path, _) in held.items() if path not in covered and self.listed(name, path)}
            assert held.keys() - left == self.wanted(name), f"{name}\n{told}\n{run.output}"
            assert self.lost or self.world.staged(lab) == [], f"{name}\n{told}"
        assert self.world.up().only_unchanged, told


@pytest.mark.timeout(400)
@pytest.mark.randomized(seeds=(2, 9), steps=4)
def test_any_sequence_of_changes_and_faults_keeps_the_stack_sound_and_ends_at_the_plan(
    gallery_world: GalleryWorld, seed: int, steps: int, checkpoints: bool
) -> None:
    """See the module's docstring. Whether the engine writes the state at each step or only at the end of a run."""
    gallery_world.checkpoints = checkpoints
    machine = Machine(gallery_world, seed)
    for _ in range(steps):
        machine.step()
    machine.finish()
