"""Labs whose storage accounts cannot be used: each is named with its account and the reason, the others are updated."""

from __future__ import annotations

from tests.e2e.world import World

WINDOWS = "Win2016/Datacenter.json"


def test_an_account_without_page_blobs_fails_its_lab_in_the_preview(world: World) -> None:
    """A data lake: said before anything is copied, with the remedy; the other lab gets its image."""
    lake, web = world.add_lab("lake", "Win2016"), world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.cloud.set_storage_account(lake.account, isHnsEnabled=True)
    preview = world.preview()
    expected = f"its storage account '{lake.account}' (kind StorageV2 with hierarchical namespace) cannot contain page"
    assert expected in preview.output and "general-purpose v2" in preview.output, preview.output
    run = world.up()
    assert run.code != 0 and expected in run.output, run.output
    assert set(world.held(web)) == {name} and world.held(lake) == {}


def test_a_lab_behind_a_firewall_fails_at_once_and_names_the_account(world: World) -> None:
    """No request to it is sent twice; after its network rules admit this machine, the next run serves it."""
    closed, web = world.add_lab("closed", "Win2016"), world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.cloud.set_storage_account(closed.account, defaultAction="Deny")
    world.cloud.clear_calls()
    run = world.up()
    expected = f"Allow this machine in the network rules of storage account '{closed.account}'"
    assert run.code != 0 and expected in run.output, run.output
    assert set(world.held(web)) == {name} and world.held(closed) == {}
    asked = [(call["method"], call["path"]) for call in world.cloud.calls() if f"/{closed.account}/" in call["path"]]
    assert len(asked) == len(set(asked)), asked
    world.cloud.set_storage_account(closed.account)
    world.serve()
    assert set(world.held(closed)) == {name}
