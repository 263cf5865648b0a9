"""Plan reports of one lab or of drawn worlds, as `imagefactory plan` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath, Selector
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.stack_settings import FactoryLab, Settings
from imagefactory.diagnostics import Diagnostic, Location, error
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.labs.plan import build_plan
from imagefactory.planning.labs.planned_images import Recorded
from imagefactory.reports.plan_comparison import InState, compare
from imagefactory.reports.plan_report import Change, LabReport, PlanReport
from tests.unit.builders import SUBSCRIPTION, catalog, configuration, facts, image, paths, standing

STACK = "imagefactory/dev"
UNREADABLE = error("lab team", "403", "", "grant")
TEAM = TargetLab(
    SUBSCRIPTION,
    "team",
    None,
    (Selector(ImagePath.parse("Win2016"), Location("labs.json", 7, 22)),),
    Location("labs.json", 3, 5),
)


def settings(**changes: Any) -> Settings:
    """The settings of a stack."""
    return Settings(factory=FactoryLab(subscription_id=SUBSCRIPTION, lab_name="factory"), **changes)


def in_state(*names: str, vhd: str = "", attempt: int = 1) -> dict[str, Recorded]:
    """Images of the lab `team` in the state, each whole and made from its own VHD."""
    path = ImagePath.parse("Win2016/Datacenter.json")
    return {
        f"{TEAM.label}/{name}": Recorded(attempt, vhd or f"{name}.vhd", "rg", stack=STACK, image_path=path)
        for name in names
    }


def reported(
    found: Catalog,
    recorded: Mapping[str, Recorded],
    labs: Mapping[TargetLab, LabFacts | Diagnostic],
    *,
    unfinished: frozenset[str] = frozenset(),
    **changes: Any,
) -> PlanReport:
    """The report on these labs and this state."""
    chosen, known = settings(**changes), {lab.key: found for lab, found in labs.items()}
    plan = build_plan(configuration(*labs), found, facts("factory"), known, chosen, recorded.keys(), recorded, STACK)
    return compare(plan, InState(recorded, unfinished=unfinished), found, chosen, STACK)


def of_team(found: Catalog, recorded: Mapping[str, Recorded], *there: StandingImage, **changes: Any) -> LabReport:
    """The one lab of the report, which has these images."""
    (lab,) = reported(found, recorded, {TEAM: facts("team", *there)}, **changes).labs
    return lab


def held(name: str, **changes: Any) -> StandingImage:
    """An image created from `<name>.vhd`."""
    return standing(name, **{"source_vhd": f"{name}.vhd", **changes})


def row(lab: LabReport, name: str) -> Change:
    """The change of the image of that name."""
    (one,) = (each for each in lab.images if each.name == name)
    return one


NAMES = ["a", "B", "c", "d", "e"]
images = st.builds(
    image, st.sampled_from(NAMES), paths, st.integers(0, 3), st.sampled_from([f"{n}.vhd" for n in NAMES])
)
standings = st.builds(
    standing,
    st.sampled_from(NAMES),
    state=st.sampled_from(["Succeeded", "Creating", "Failed"]),
    image_path=st.none() | paths,
    source_vhd=st.none() | st.sampled_from([f"{n}.vhd" for n in NAMES]),
    stack=st.none() | st.just("imagefactory/other"),
)
answers = st.just(UNREADABLE) | st.builds(
    lambda there: facts("team", *there), st.lists(standings, max_size=4, unique_by=lambda one: one.name.lower())
)
records = st.builds(
    Recorded,
    attempt=st.integers(1, 2),
    vhd_name=st.none() | st.sampled_from([f"{n}.vhd" for n in NAMES]),
    resource_group=st.just("rg"),
    image_path=st.none() | paths.map(ImagePath.parse),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Catalog, dict[str, Recorded], dict[TargetLab, LabFacts | Diagnostic], int | None]:
    """A catalog, a state, labs, and the setting `keep`."""
    targets = {
        TargetLab(SUBSCRIPTION, f"lab{n}", None, (Selector.parse("Win2016"),), Location("labs.json", n)): draw(answers)
        for n in range(draw(st.integers(1, 3)))
    }
    labels = [lab.label for lab in targets] + ["gone@00000000"]
    recorded = draw(
        st.dictionaries(st.builds("{}/{}".format, st.sampled_from(labels), st.sampled_from(NAMES)), records, max_size=8)
    )
    found = catalog(*draw(st.lists(images, max_size=6, unique_by=lambda one: one.vhd_name)))
    return found, recorded, targets, draw(st.none() | st.integers(1, 2))
