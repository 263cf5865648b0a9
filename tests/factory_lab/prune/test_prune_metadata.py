"""Empty metadata: all who can write to a container can set it, and it stops no command."""

from __future__ import annotations

from imagefactory.copying.copier import SOURCE, STATE, USERS
from tests.e2e.world import STAGING_CONTAINER
from tests.factory_lab.prune.prune_world import PruneWorld, images_of

EMPTY = {SOURCE: "", STATE: "", USERS: "", "imagename": "", "imagepath": "", "allocated": "", "guid": "", "disks": ""}


def test_empty_metadata_in_a_lab_and_in_the_factory_does_not_stop_a_prune(factory: PruneWorld) -> None:
    """A listing has no value for it. The plan is carried out; blobs with such metadata belong to no image."""
    old, newest = factory.image(13), factory.image(14)
    staging = factory.staging(factory.lab)
    staging.create_container()
    staging.get_blob_client("bent.vhd").create_page_blob(1024, metadata=EMPTY)
    factory.vhd("bent.vhd", EMPTY)
    for name in ("bent.json", "bent.ranges.json.gz", "bent.save", "bent.name", old.vhd_name.replace("vhd", "name")):
        factory.document(name, b"{}", **EMPTY)
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0 and run.results()[old.name] == "deleted", run.stdout + run.stderr
    assert images_of(newest) <= factory.held()
    container = factory.world.service(factory.lab).get_container_client(STAGING_CONTAINER)
    assert [blob.name for blob in container.list_blobs()] == ["bent.vhd"]
