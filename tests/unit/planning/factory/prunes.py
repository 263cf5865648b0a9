"""Factories to prune, with any content, and their blobs.

Contains nothing that a test asserts on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import error
from imagefactory.images.catalog import BlobDiagnostic, Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.images.lineage import Lineage
from imagefactory.observed.factory_blobs import StoredBlob
from imagefactory.planning.factory.prune_plan import PrunePlan, PruneRules, plan_prune
from imagefactory.planning.factory.staging_needs import StagedVhd, StagingNeeds
from imagefactory.planning.retention import largest_keep
from tests.unit.builders import NOON, catalog, image, paths

ACCOUNT = "/storage/factory"
NOBODY = StagingNeeds(frozenset(), frozenset(), frozenset(), frozenset(), all_read=True)
LATER = NOON + timedelta(days=30)
JUNK = error("companion", "is junk", "not distributed", "Fix it")


def blob(name: str, at: datetime = NOON, **changes: Any) -> StoredBlob:
    """A blob of the factory, written at noon."""
    return StoredBlob(ACCOUNT, "imagefactoryvhds", name, 512, "1", at, **changes)


def files(*images: FactoryImage) -> list[StoredBlob]:
    """VHD, companion and manifest of each image."""
    stems = [image.vhd_name.removesuffix(".vhd") for image in images]
    return [blob(f"{stem}{suffix}") for stem in stems for suffix in (".vhd", ".json", ".ranges.json.gz")]


def plan(
    found: Catalog, blobs: Sequence[StoredBlob], rules: PruneRules, *staged: StagedVhd, needs: StagingNeeds = NOBODY
) -> PrunePlan:
    """The plan a month later."""
    return plan_prune(found, blobs, rules, staged, needs, LATER)


@dataclass(frozen=True)
class Factory:
    """The possible content of a factory, and the pins of its stacks."""

    images: tuple[FactoryImage, ...]
    broken: tuple[str, ...]
    dead: tuple[str, ...]
    rules: PruneRules

    @property
    def keep(self) -> int:
        """The largest `keep` of the stacks."""
        return largest_keep(self.rules.policies) or 0

    @property
    def pinned(self) -> set[str]:
        """Names that stacks pin, folded."""
        return {fold(name) for policy in self.rules.policies.values() for name in policy.pins.values()}

    @property
    def catalog(self) -> Catalog:
        """The images, and all that is invalid."""
        broken = tuple(BlobDiagnostic(f"{stem}.vhd", JUNK) for stem in self.broken)
        left_out = tuple(BlobDiagnostic(f"{stem}.vhd", JUNK) for stem in self.dead)
        return catalog(*self.images, broken=broken, left_out=left_out)

    @property
    def blobs(self) -> list[StoredBlob]:
        """All blobs of the factory."""
        return [
            *files(*self.images),
            *(blob(f"{stem}{suffix}") for stem in self.broken for suffix in (".vhd", ".json", ".lun0.vhd")),
            *(blob(f"{stem}{suffix}") for stem in self.dead for suffix in (".vhd", ".save", ".lun1.vhd")),
        ]

    @property
    def plan(self) -> PrunePlan:
        """What is deleted."""
        return plan(self.catalog, self.blobs, self.rules)


def keeping(keep: int, **pins: ImagePath) -> dict[str, Policy]:
    """The policy of one stack; names of images, each with the path for which it is pinned."""
    return {"dev": Policy(keep=keep, pins={path: name for name, path in pins.items()})}


_ORDINARY: dict[str, st.SearchStrategy[Any]] = {
    "keep": st.integers(1, 3),
    "pins": st.dictionaries(paths.map(ImagePath.parse), st.sampled_from(["A", "name1", "NAME3", "nobody"])),
}
_REVOKED = st.sampled_from(["a", "Name0", "name2", "Win2016/Datacenter.json@b"]).map(RevokedImage)
_STACKS = st.sampled_from(["dev", "prod", "test"])

policies = st.dictionaries(_STACKS, st.builds(Policy, **_ORDINARY), min_size=1)
any_policies = st.dictionaries(
    _STACKS,
    st.builds(
        Policy,
        **_ORDINARY,
        revoked=st.dictionaries(_REVOKED, st.just("a virus")),
        revoked_fallback=st.sampled_from(["none", "previous"]),
        soak_days=st.none() | st.integers(29, 31),
        keep_days=st.none() | st.integers(29, 31),
    ),
    min_size=1,
)
"""Also such that leave out images that `keep` and pins give."""


@st.composite
def factories(
    draw: st.DrawFn,
    of_paths: st.SearchStrategy[str] = paths,
    of_policies: st.SearchStrategy[dict[str, Policy]] = policies,
) -> Factory:
    """Several images of few paths and dates, some undated, some of one name, some with a VM; and invalid blobs."""
    images = []
    for n in range(draw(st.integers(0, 9))):
        made = image(
            draw(st.sampled_from(["a", "B", f"Name{n}", f"Name{n}"])),
            draw(of_paths),
            draw(st.integers(0, 4)),
            f"{n}.vhd",
        )
        if draw(st.booleans()):
            made = replace(made, saved_at_source="last-modified")
        images.append(replace(made, lineage=Lineage(vm=draw(st.sampled_from(["", "/VM/1", "/vm/2"])))))
    rules = PruneRules(draw(of_policies), {"/vm/1": "one"})
    stems = st.sampled_from(["x", "y", "z"])
    broken = draw(st.sets(stems, max_size=2))
    guid = "0f8fad5b-d9cb-469f-a165-7086772895"
    dead = draw(st.sets(st.sampled_from([f"{guid}0a", f"{guid}0b", "by-hand"])))
    return Factory(tuple(images), tuple(sorted(broken)), tuple(sorted(dead)), rules)
