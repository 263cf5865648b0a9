"""What many resources ask at once: one listing for each lab and each container of staged VHDs, shared by all of them.

For a refresh, a listing is kept from the first question until `forget`. Its answers are as right as those of a request
for each:

* A provider process serves one operation of the engine, which configures it first, and that forgets what an earlier
  operation listed. So no answer is older than the start of the refresh.
* What this process itself creates, updates or deletes makes it forget once that has ended.
* The engine reads a resource before its first step on it or on what depends on it: `up --refresh` reads all resources
  before any step. So azure-native has not changed an image yet when it is asked for.
* A change by another client after the listing is missed, as it is if it comes after a single request. What is taken
  for missing is created again, and `VhdCopy` looks for its image and its blob again before it writes.

For copies, a listing answers whether an image is absent for `RECENT_SECONDS`, and once per image: a copy takes longer,
so a request of its own, which is as old when the copy ends, says no more. Only absence is taken from it.

Does not decide what a missing image means: the resources do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from time import monotonic

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobType

from imagefactory.aio.once import Once
from imagefactory.azure.core.errors import EXISTENCE, CloudError, consequence, error_code, from_azure
from imagefactory.azure.core.refusals import ABSENT
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.labs import images_of
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.blob_lists import metadata_of
from imagefactory.azure.storage.listings import ListedBlob, listed
from imagefactory.azure.storage.openers import account_name
from imagefactory.observed.blobs import BlobFacts, BlobRef, CopyState
from imagefactory.observed.standing_labs import StandingImage

RECENT_SECONDS = 30.0
"""How long before a question its listing may have begun, and the question before, for the lab to be listed at all: a
single image is requested by itself, which costs less."""


class _Recent:
    """The last question about the images of a lab that are to be created, and the last listing for such questions."""

    def __init__(self) -> None:
        self.asked = self.listed = float("-inf")
        self.answered: set[str] = set()
        self.images: Once[str, Mapping[str, StandingImage]] = Once()

    def is_shared(self, image_id: str) -> bool:
        """Return whether a listing can answer; start another one if the last one is old or has answered this image."""
        now = monotonic()
        last, self.asked = self.asked, now
        if now - last > RECENT_SECONDS:
            return False
        if now - self.listed > RECENT_SECONDS or image_id in self.answered:
            self.listed, self.answered, self.images = now, set(), Once()
        self.answered.add(image_id)
        return True


class SharedListings:
    """The listings of one provider process. A listing that fails does so for all that wait for it, and is not kept."""

    def __init__(self, arm: ResourceManager, accounts: StorageAccounts) -> None:
        self._arm, self._accounts = arm, accounts
        self._images: Once[str, Mapping[str, StandingImage]] = Once()
        self._blobs: Once[tuple[str, str], Mapping[str, BlobFacts]] = Once()
        self._recent: defaultdict[str, _Recent] = defaultdict(_Recent)

    async def image(self, image_id: str) -> StandingImage | None:
        """Return the custom image at an ARM id, or None. Raises `CloudError` if its lab cannot be listed."""
        lab_id, _, _ = image_id.lower().rpartition("/customimages/")
        with consequence(EXISTENCE):
            return (await self._images.get(lab_id, lambda: self._listed_images(lab_id))).get(image_id.lower())

    async def blob(self, blob: BlobRef) -> BlobFacts | None:
        """Return a blob's facts; None if blob, container or storage account is missing. Raises `CloudError`."""
        with consequence(EXISTENCE):
            container = blob.account_id, blob.url.rpartition("/")[0]
            return (await self._blobs.get(container, lambda: self._listed_blobs(blob))).get(blob.file_name)

    async def lacks(self, image_id: str) -> bool:
        """Return whether a recent listing shows that the lab lacks a custom image. False: request the image."""
        lab_id, _, _ = (own := image_id.lower()).rpartition("/customimages/")
        recent = self._recent[lab_id]
        if not recent.is_shared(own):
            return False
        try:
            return own not in await recent.images.get(lab_id, lambda: self._listed_images(lab_id))
        except CloudError:
            return False

    def forget(self) -> None:
        """Answer later questions of a refresh from no listing that started before now."""
        self._images, self._blobs = Once(), Once()

    async def _listed_images(self, lab_id: str) -> Mapping[str, StandingImage]:
        return {each.id.lower(): each for each in await images_of(self._arm, lab_id) or ()}

    async def _listed_blobs(self, blob: BlobRef) -> Mapping[str, BlobFacts]:
        """Return the blobs beside `blob` by name."""
        account = account_name(blob.account_id)
        try:
            container = (await self._accounts.client(blob)).container_name
            client = (await self._accounts.service(blob.account_id)).get_container_client(container)
            subject = f"{account}: container '{container}'"
            return {each.name: _facts(each) async for each in listed(client, subject)}
        except CloudError as error:
            if error.code in ABSENT:
                return {}
            raise
        except AzureError as error:
            # A deleted account has no host name, so none responds.
            answered = getattr(error, "status_code", None)
            if error_code(error) in ABSENT or not (answered or await self._accounts.exists(blob.account_id)):
                return {}
            raise from_azure(error, f"{account}: container of {blob.file_name}", account=account) from error


def _facts(blob: ListedBlob) -> BlobFacts:
    status = blob.written_by.status
    return BlobFacts(
        length=blob.size,
        is_page_blob=blob.blob_type is BlobType.PAGEBLOB,
        created=blob.creation_time,
        etag=blob.etag,
        metadata=metadata_of(blob),
        copy=CopyState("", status) if status else None,
    )
