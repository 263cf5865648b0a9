"""The doctor judges by the same lists: what it finds to be permitted is what runs need."""

from __future__ import annotations

import pytest

from imagefactory.roles.actions import Option, Purpose
from imagefactory.roles.purposes import roles_of
from tests.doctor.doctor_world import DoctorWorld
from tests.roles.roles_world import granted

pytestmark = pytest.mark.engine


def test_the_roles_of_all_purposes_are_enough_for_the_doctor(world: DoctorWorld) -> None:
    """Nothing is missing that it looks for; without its own role, it may not ask."""
    options = (Option.AAD, Option.SERVICE)
    purposes = (Purpose.DISTRIBUTION, Purpose.SAVE, Purpose.CLEAN_VMS)
    roles = [role for purpose in purposes for role in roles_of(purpose, options)]
    world.settings["copy"] = {"method": "service"}
    with granted(world, [*roles, *roles_of(Purpose.DOCTOR)]):
        assert world.doctor().not_ok() == []
    with granted(world, roles):
        found = world.doctor()
    assert {result for _, _, result in found.not_ok()} == {"unknown"} and found.ended.code == 0
    assert all("Image Factory Check Subscription" in found.check(*row[:2])["remedy"] for row in found.not_ok())


def test_the_roles_of_a_distribution_leave_warnings_about_the_factory_only(world: DoctorWorld) -> None:
    """What a save would need is no failure of a distribution."""
    with granted(world, [*roles_of(Purpose.DISTRIBUTION), *roles_of(Purpose.DOCTOR)]):
        found = world.doctor()
    assert {subject for subject, _, _ in found.not_ok()} == {"factory"} and found.ended.code == 0
    assert {result for _, _, result in found.not_ok()} == {"warning"}
