"""A world whose identity has the roles of a purpose and no others: the embedded cloud rejects all else.

Assigns each role where docs/permissions.md says, and finds the actions that a run names. Does not assert results.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

from imagefactory.roles.actions import Option, Place, Purpose, Role
from imagefactory.roles.purposes import roles_of
from localcloud.rights import arm_needs
from tests.e2e.world import Lab, World
from tests.factory_lab.factory_world import FactoryWorld
from tests.factory_lab.prune.prune_world import PruneWorld

_ACTION = re.compile(r"microsoft\.[a-z]+(?:/[a-z]+)+/(?:read|write|delete|action)\b", re.IGNORECASE)
Lack = tuple[Role, str]
"""A role, and an action of it that is missing."""


def lacks(purpose: Purpose, *places: Place, options: Iterable[Option] = (Option.AAD,)) -> list[Lack]:
    """Each action of the roles of a purpose; only of these places, if any are given."""
    roles = [role for role in roles_of(purpose, options) if not places or role.place in places]
    return [(role, action) for role in roles for action in (*role.actions, *role.data_actions)]


def named(text: str) -> set[str]:
    """The actions in an output, in lower case."""
    return {each.lower() for each in _ACTION.findall(text)}


@contextmanager
def granted(world: World, roles: Iterable[Role], lack: Lack | None = None) -> Iterator[None]:
    """The identity has exactly these roles, without one action; afterwards, everything is permitted again."""
    assignments = [
        {
            "scope": scope,
            "actions": [each for each in role.actions if (role, each) != lack],
            "dataActions": [each for each in role.data_actions if (role, each) != lack],
        }
        for role in roles
        for scope in _scopes(world, role.place)
    ]
    world.cloud.set_permissions(*assignments, enforced=True)
    try:
        yield
    finally:
        world.cloud.set_permissions()


def rejected(world: World) -> list[str]:
    """What the cloud did not permit in this world since the journal was cleared.

    A provider whose engine an earlier test has killed may still end, and send a request to an account of that test.
    """
    calls = [call for call in world.cloud.calls() if call["status"] == 403]
    own = {world.factory.account, *(lab.account for lab in world.labs.values())}
    calls = [call for call in calls if call["service"] == "arm" or call["path"].split("/")[1] in own]
    world.cloud.clear_calls()
    return [f"{call['method']} {call['path'].partition('?')[0]}" for call in calls]


def requested(world: World) -> set[str]:
    """The actions that the calls of the resource manager needed since the journal was cleared, in lower case."""
    calls = [(call["method"], urlsplit(call["path"]), call["service"]) for call in world.cloud.calls()]
    calls = [each for each in calls if each[2] == "arm" and each[1].path.startswith("/subscriptions/")]
    return {need.action.lower() for method, url, _ in calls for need in arm_needs(method, url.path, {})}


def silent(told: Mapping[Lack, set[str]]) -> set[str]:
    """The actions that a run without them did not name."""
    return {f"{role.name}: {action}" for (role, action), said in told.items() if action.lower() not in said}


def leave_behind(factory: PruneWorld, world: FactoryWorld) -> None:
    """What a prune deletes: an old image, a staged VHD, and what a terminated save of the VM `golden` left."""
    factory.image(1)
    factory.stage(f"{uuid.uuid4()}.vhd")
    guid = str(uuid.uuid4())
    factory.vhd(f"{guid}.vhd")
    factory.document(f"{guid}.save", name=guid, disks=quote(world.disk_id("golden"), safe=""))


def _scopes(world: World, place: Place) -> list[str]:
    """The ids where a role of that place is assigned."""
    subscription, factory = f"/subscriptions/{world.subscription}", _account(world.factory)
    labs, accounts = [lab.id for lab in world.labs.values()], [_account(lab) for lab in world.labs.values()]
    return {
        Place.SUBSCRIPTION: [subscription],
        Place.FACTORY_SUBSCRIPTION: [subscription],
        Place.FACTORY_MACHINES: [subscription],
        Place.FACTORY_OPERATIONS: [subscription],
        Place.FACTORY_STORAGE: [factory],
        Place.FACTORY_MANIFESTS: [factory],
        Place.FACTORY_SAS: [factory],
        Place.FACTORY_KEYS: [factory],
        Place.LAB: labs,
        Place.LAB_MACHINES: labs,
        Place.LAB_STORAGE: accounts,
        Place.STORAGE_ACCOUNTS: [factory, *accounts],
        Place.STORAGE_KEYS: [factory, *accounts],
        Place.GALLERY: [f"{subscription}/resourceGroups/{world.factory.group}"],
        Place.GALLERY_GROUP: [f"{subscription}/resourceGroups/{world.factory.group}"],
        Place.GALLERY_SUBSCRIPTION: [subscription],
        Place.LAB_GALLERIES: labs,
    }[place]


def _account(lab: Lab) -> str:
    group = f"/subscriptions/{lab.subscription}/resourceGroups/{lab.group}"
    return f"{group}/providers/Microsoft.Storage/storageAccounts/{lab.account}"
