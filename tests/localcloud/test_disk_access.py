"""Reading a managed disk of the embedded cloud: with the SAS that was granted, until it is revoked or expires."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import requests
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.images.vhd_footer import footer_problem
from localcloud.blobs.disk_access import DISK_ACCOUNT, DiskAccess, Grant
from localcloud.client import CloudClient, CloudError
from localcloud.vhd import MIB
from tests.localcloud.cloud_program import Program, wait

SUBSCRIPTION = "44444444-4444-4444-4444-444444444444"
SIZE = 16 * MIB
UNCHANGED = MatchConditions.IfNotModified
FILES = {"etc/image": "what the machine holds"}


def seed_of(lab: str, account: str, **more: Any) -> dict[str, Any]:
    """Return a lab with one machine of two disks."""
    machine = {
        "name": "vm",
        "osType": "Linux",
        "sizeBytes": SIZE,
        "allocatedBytes": MIB,
        "files": FILES,
        "dataDisks": [{"lun": 0, "sizeBytes": SIZE}],
    }
    about = {"name": lab, "resourceGroup": "rg", "region": "westeurope", "storageAccount": account}
    labs = [{**about, "virtualMachines": [{**machine, **more}]}]
    return {"subscriptions": [{"subscriptionId": SUBSCRIPTION, "labs": labs}]}


@dataclass(frozen=True)
class Factory:
    """A lab with one machine, and an account to copy its disks to."""

    cloud: CloudClient
    lab: str
    account: str

    def token(self, resource: str) -> dict[str, str]:
        """Return the header with a token for a service."""
        status = self.cloud.status()
        answer = requests.get(
            status["identityEndpoint"],
            params={"api-version": "2019-08-01", "resource": resource},
            headers={"X-IDENTITY-HEADER": status["identityHeader"]},
            timeout=10,
        )
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def arm(self, method: str, path: str, body: Any = None, **query: str) -> requests.Response:
        """Send one call to the resource manager, by path or URL."""
        url = path if path.startswith("http") else f"{self.cloud.base_url}{path}"
        version = "2018-09-15" if "DevTestLab" in url else "2023-10-02"
        given = {} if "api-version" in url else {"api-version": version}
        headers = self.token("https://management.azure.com")
        return requests.request(method, url, json=body, params={**given, **query}, headers=headers, timeout=30)

    @property
    def machine(self) -> str:
        """The lab VM's path."""
        labs = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.DevTestLab/labs"
        return f"{labs}/{self.lab}/virtualmachines/vm"

    def disks(self) -> list[str]:
        """Return the ids of the OS disk and the data disk."""
        compute = self.arm("GET", self.arm("GET", self.machine).json()["properties"]["computeId"]).json()
        storage = compute["properties"]["storageProfile"]
        return [each["managedDisk"]["id"] for each in (storage["osDisk"], *storage["dataDisks"])]

    def grant(self, disk: str, seconds: int = 3600) -> str:
        """Grant access; return the SAS."""
        body = {"access": "Read", "durationInSeconds": seconds}
        accepted = self.arm("POST", f"{disk}/beginGetAccess", body)
        assert accepted.status_code == 202
        return str(self.arm("GET", accepted.headers["Location"]).json()["accessSAS"])

    def revoke(self, disk: str) -> None:
        """Revoke all access."""
        assert self.arm("POST", f"{disk}/endGetAccess").status_code == 202

    def change(self, properties: Mapping[str, str]) -> None:
        """Set the ARM properties of the machine's disks."""
        self.cloud.set_virtual_machine(SUBSCRIPTION, "rg", self.lab, "vm", disk_properties=properties)

    def open_grants(self) -> dict[str, int]:
        """Return the disks of this lab with active access, from the control API."""
        grants = {each["disk"]: each["grants"] for each in self.cloud.status()["diskAccess"]}
        return {disk: grants[disk] for disk in self.disks() if disk in grants}

    def container(self) -> ContainerClient:
        """Return a client of the account's container, with its key."""
        about = next(each for each in self.cloud.status()["storageAccounts"] if each["name"] == self.account)
        credential = {"account_name": self.account, "account_key": about["key"]}
        return BlobServiceClient(about["blobEndpoint"], credential, retry_total=0).get_container_client("vhds")

    def target(self, name: str = "copy.vhd") -> BlobClient:
        """Return a client of a blob in it."""
        return self.container().get_blob_client(name)

    def page_from(self, source: str, offset: int, length: int, **headers: str) -> requests.Response:
        """Send Put Page From URL to the target, with a bearer token."""
        where = f"bytes={offset}-{offset + length - 1}"
        about = {
            "x-ms-version": "2021-12-02",
            "x-ms-page-write": "update",
            "x-ms-copy-source": source,
            "x-ms-source-range": where,
            "x-ms-range": where,
            "Content-Length": "0",
            **self.token("https://storage.azure.com"),
        }
        return requests.put(f"{self.target().url}?comp=page", headers={**about, **headers}, timeout=30)

    def copy_from(self, source: str, name: str) -> requests.Response:
        """Send Copy Blob to the account, with a bearer token."""
        headers = {"x-ms-version": "2021-12-02", "x-ms-copy-source": source, **self.token("https://storage.azure.com")}
        return requests.put(self.target(name).url, headers=headers, timeout=30)

    def refusals(self, sas: str) -> dict[str, tuple[int, str]]:
        """Return status and code of every way to read with this SAS."""
        answers = {
            "GET": requests.get(sas, timeout=10),
            "range": requests.get(sas, headers={"x-ms-range": "bytes=0-511"}, timeout=10),
            "HEAD": requests.head(sas, timeout=10),
            "ranges": requests.get(f"{sas}&comp=pagelist", timeout=10),
            "page": self.page_from(sas, 0, 512),
            "copy": self.copy_from(sas, f"{uuid.uuid4()}.vhd"),
        }
        return {way: code(answer) for way, answer in answers.items()}


DEAD = {
    **dict.fromkeys(("GET", "range", "HEAD", "ranges"), (403, "AuthenticationFailed")),
    **dict.fromkeys(("page", "copy"), (403, "CannotVerifyCopySource")),
}


def code(answer: requests.Response) -> tuple[int, str]:
    """Return status and error code."""
    return answer.status_code, answer.headers.get("x-ms-error-code", "")


def forged(sas: str, changes: Mapping[str, str]) -> str:
    """Return the SAS with other values."""
    for old, new in changes.items():
        assert old in sas
        sas = sas.replace(old, new)
    return sas


@pytest.fixture
def factory(fresh_cloud: CloudClient, accounts: Iterator[str]) -> Factory:
    """A fresh lab, whose target is an empty page blob of the disk's length."""
    made = Factory(fresh_cloud, f"lab{uuid.uuid4().hex[:8]}", next(accounts))
    fresh_cloud.seed(seed_of(made.lab, made.account))
    made.container().create_container()
    made.target().create_page_blob(SIZE + 512)
    return made


def test_the_sas_reads_the_whole_disk(factory: Factory) -> None:
    """A fixed VHD of the seeded machine: bytes, length, ranges, page ranges; and the disk's state is ActiveSAS."""
    os_disk, data_disk = factory.disks()
    sas = factory.grant(os_disk)
    source = BlobClient.from_blob_url(sas)
    content = source.download_blob().readall()
    assert len(content) == SIZE + 512 and footer_problem(content[-512:], len(content)) is None
    assert FILES["etc/image"].encode() in content
    properties = factory.arm("GET", os_disk).json()["properties"]
    assert (properties["diskState"], properties["diskSizeBytes"]) == ("ActiveSAS", SIZE)
    head = source.get_blob_properties()
    assert (head.size, head.blob_type) == (SIZE + 512, "PageBlob")
    assert source.download_blob(MIB, 4096).readall() == content[MIB : MIB + 4096]
    allocated = [(each.start or 0, each.end or 0) for each in source.list_page_ranges()]
    assert MIB < sum(end + 1 - start for start, end in allocated) < SIZE
    assert all(not any(content[end + 1 : start]) for (_, end), (start, _) in pairwise(allocated))
    other = BlobClient.from_blob_url(factory.grant(data_disk)).download_blob().readall()
    assert footer_problem(other[-512:], len(other)) is None and other != content


@pytest.mark.parametrize(
    "properties",
    [
        {"networkAccessPolicy": "AllowPrivate"},
        {"publicNetworkAccess": "Disabled"},
        {"dataAccessAuthMode": "AzureActiveDirectory"},
    ],
    ids=str,
)
def test_a_sas_alone_does_not_open_a_disk_with_restricted_access(factory: Factory, properties: dict[str, str]) -> None:
    """The disk shows the property; access is granted, and every way to read with the SAS fails."""
    factory.change(properties)
    os_disk, data_disk = factory.disks()
    shown = factory.arm("GET", data_disk).json()["properties"]
    assert {**shown, **properties} == shown
    assert factory.refusals(factory.grant(os_disk)) == DEAD
    factory.change({})
    assert requests.get(factory.grant(os_disk), timeout=30).status_code == 200


def test_access_to_a_disk_that_denies_all_networks_is_not_granted(factory: Factory) -> None:
    """409, and no grant."""
    factory.change({"networkAccessPolicy": "DenyAll"})
    body = {"access": "Read", "durationInSeconds": 60}
    assert factory.arm("POST", f"{factory.disks()[0]}/beginGetAccess", body).status_code == 409
    assert factory.open_grants() == {}


def test_a_disk_is_copied_until_access_is_revoked(factory: Factory) -> None:
    """By ranges and by Copy Blob, to an account opened by a token or a key; then every way fails immediately."""
    (disk, _) = factory.disks()
    sas = factory.grant(disk)
    content = requests.get(sas, timeout=30).content
    assert factory.page_from(sas, MIB, MIB).status_code == 201
    factory.target().upload_pages_from_url(sas, 2 * MIB, MIB, 2 * MIB)
    assert factory.target().download_blob(MIB, 2 * MIB).readall() == content[MIB : 3 * MIB]
    assert factory.copy_from(sas, "token.vhd").status_code == 202
    factory.target("key.vhd").start_copy_from_url(sas)
    for name in ("token.vhd", "key.vhd"):
        assert factory.target(name).download_blob().readall() == content

    factory.revoke(disk)
    assert factory.refusals(sas) == DEAD
    assert factory.arm("GET", disk).json()["properties"]["diskState"] == "Reserved"
    assert "sig=" not in str([call for call in factory.cloud.calls() if "REDACTED" not in call["path"]])


def test_disks_reject_conditions(factory: Factory) -> None:
    """On reading it and on copying from it, for every condition."""
    sas = factory.grant(factory.disks()[0])
    etag = requests.head(sas, timeout=10).headers["ETag"]
    read = requests.get(sas, headers={"If-Match": etag, "Range": "bytes=0-511"}, timeout=10)
    assert (read.status_code, read.headers["x-ms-error-code"]) == (400, "ConditionHeadersNotSupported")
    with pytest.raises(HttpResponseError, match="Condition headers are not supported"):
        factory.target().upload_pages_from_url(sas, 0, 512, 0, source_etag=etag, source_match_condition=UNCHANGED)


def test_two_grants_are_equal_and_are_revoked_together(factory: Factory) -> None:
    """Both read the same bytes and ETag; another disk's access is kept."""
    disk, data_disk = factory.disks()
    other = factory.grant(data_disk)
    both = [factory.grant(disk) for _ in range(2)]
    assert both[0] != both[1] and factory.open_grants() == {disk: 2, data_disk: 1}
    answers = [requests.get(sas, timeout=30) for sas in both]
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"] and answers[0].content == answers[1].content
    factory.revoke(disk)
    assert [factory.refusals(sas) for sas in both] == [DEAD, DEAD]
    assert factory.open_grants() == {data_disk: 1} and requests.head(other, timeout=10).status_code == 200
    again = requests.get(factory.grant(disk), timeout=30)
    assert (again.headers["ETag"], again.content) == (answers[0].headers["ETag"], answers[0].content)


def test_a_sas_expires(factory: Factory) -> None:
    """Even if it was just accepted as the source of a copy."""
    (disk, _) = factory.disks()
    sas = factory.grant(disk, seconds=1)
    assert factory.page_from(sas, 0, 512).status_code == 201
    wait(lambda: requests.head(sas, timeout=10).status_code == 403)
    assert factory.refusals(sas) == DEAD and factory.open_grants() == {}


def test_only_its_own_sas_opens_a_disk(factory: Factory) -> None:
    """A token, no SAS, a forged one and another disk's fail; and the SAS allows no change."""
    disk, data_disk = factory.disks()
    sas, other = factory.grant(disk), factory.grant(data_disk)
    plain, _, query = sas.partition("?")
    token = factory.token("https://storage.azure.com")
    for url in (
        plain,
        f"{plain}?{other.partition('?')[2]}",
        forged(sas, {"sig=": "sig=A"}),
        forged(sas, {"abcd": "x"}),
    ):
        assert code(requests.get(url, headers=token, timeout=10)) == (403, "AuthenticationFailed")
        given = {"x-ms-copy-source-authorization": token["Authorization"]}
        around = forged(url, {f"/{DISK_ACCOUNT}/": f"/{factory.account}/../{DISK_ACCOUNT}/"})
        for source in (url, around):
            assert code(factory.page_from(source, 0, 512, **given)) == (403, "CannotVerifyCopySource")
    container = plain.rpartition("/")[0]
    listing = requests.get(f"{container}?restype=container&comp=list&{query}", headers=token, timeout=10)
    assert code(listing) == (403, "AuthenticationFailed")
    page = {"x-ms-version": "2021-12-02", "x-ms-page-write": "update", "x-ms-range": "bytes=0-511"}
    before = requests.head(sas, timeout=10).headers["ETag"]
    for method, url, headers in (("PUT", f"{sas}&comp=page", page), ("DELETE", sas, page)):
        answer = requests.request(method, url, data=bytes(512), headers=headers, timeout=10)
        assert code(answer) == (403, "AuthorizationPermissionMismatch")
    assert requests.head(sas, timeout=10).headers["ETag"] == before
    assert DISK_ACCOUNT not in [each["name"] for each in factory.cloud.status()["storageAccounts"]]
    with pytest.raises(CloudError, match="not a storage account name"):
        factory.cloud.seed({"storageAccounts": [DISK_ACCOUNT]})


def test_the_control_api_changes_a_machine(factory: Factory) -> None:
    """As a user who starts it; an impossible change is rejected with its reason."""
    disk, _ = factory.disks()
    where = (SUBSCRIPTION, "rg", factory.lab, "vm")
    factory.cloud.set_virtual_machine(*where, power_state="running", tags={"FactoryIgnore": "yes"})
    assert factory.arm("GET", factory.machine).json()["tags"] == {"FactoryIgnore": "yes"}
    refused = factory.arm("POST", f"{disk}/beginGetAccess", {"access": "Read", "durationInSeconds": 60})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "Conflict")
    factory.cloud.set_virtual_machine(*where, power_state="deallocated", generalized=False, provisioning_state="Failed")
    assert factory.arm("GET", factory.machine).json()["properties"]["provisioningState"] == "Failed"
    factory.cloud.set_virtual_machine(*where, writes="by its guest")
    content = requests.get(factory.grant(disk), headers={"x-ms-version": "2021-12-02"}, timeout=10).content
    assert content[512:524] == b"by its guest"
    with pytest.raises(CloudError, match="active shared access signature"):
        factory.cloud.set_virtual_machine(*where, power_state="running")
    with pytest.raises(CloudError, match="not found"):
        factory.cloud.set_virtual_machine(SUBSCRIPTION, "rg", factory.lab, "nobody", generalized=True)
    with pytest.raises(CloudError, match="powerState"):
        factory.cloud.set_virtual_machine(*where, power_state="asleep")


def test_a_deleted_machine_leaves_no_bytes_and_can_be_seeded_again(factory: Factory) -> None:
    """Before the deletion, a second seed changes nothing; after it, the seed creates another disk."""
    (disk, _) = factory.disks()
    sas = factory.grant(disk)
    etag = requests.head(sas, timeout=10).headers["ETag"]
    factory.cloud.seed(seed_of(factory.lab, factory.account))
    assert factory.disks()[0] == disk and requests.head(sas, timeout=10).headers["ETag"] == etag
    unique = factory.arm("GET", disk).json()["properties"]["uniqueId"]
    factory.revoke(disk)
    assert factory.arm("DELETE", factory.machine).status_code == 202
    assert factory.arm("GET", factory.machine).status_code == factory.arm("GET", disk).status_code == 404
    factory.cloud.seed(seed_of(factory.lab, factory.account))
    anew = factory.disks()[0]
    assert anew != disk and factory.arm("GET", anew).json()["properties"]["uniqueId"] != unique
    assert requests.head(factory.grant(anew), timeout=10).status_code == 200


def test_access_and_its_revocation_survive_a_restart(program: Program) -> None:
    """One of two disks is revoked before the stop; the other's SAS is valid after the start, until revoked."""
    program.run("start", "--seed", program.seed_file(seed_of("factory", "factorystore")))
    factory = Factory(program.client, "factory", "factorystore")
    disk, data_disk = factory.disks()
    sas, dead = factory.grant(disk), factory.grant(data_disk)
    content = requests.get(sas, timeout=30).content
    factory.revoke(data_disk)
    program.run("stop")
    program.run("start")
    assert factory.disks() == [disk, data_disk] and factory.open_grants() == {disk: 1}
    assert requests.get(sas, timeout=30).content == content
    assert code(requests.get(dead, timeout=10)) == (403, "AuthenticationFailed")
    factory.revoke(disk)
    assert code(requests.get(sas, timeout=10)) == (403, "AuthenticationFailed")
    seen = (program.state / "daemon.log").read_text(encoding="utf-8") + (program.state / "arm.json").read_text("utf-8")
    assert "sig=" not in seen


@given(st.lists(st.tuples(st.sampled_from(["give", "over", "revoke"]), st.sampled_from("abc")), max_size=12))
def test_a_sas_opens_its_own_disk_while_its_grant_is_active(steps: list[tuple[str, str]]) -> None:
    """After any grants and revocations, it opens no other disk, and a changed SAS opens none."""
    grants: dict[str, Grant] = {}
    access = DiskAccess(grants, b"k" * 32)
    alive: dict[str, str] = {}
    for number, (step, container) in enumerate(steps):
        if step == "revoke":
            access.revoke(container)
            alive = {name: each for name, each in alive.items() if each != container}
        else:
            access.grant(container, f"g{number}", 3600 if step == "give" else -1)
            alive |= {f"g{number}": container} if step == "give" else {}
    for number in range(len(steps)):
        for container in "abc":
            target, _, query = access.url(f"/{DISK_ACCOUNT}", container, f"g{number}").partition("?")
            assert access.opens(target, query) is (alive.get(f"g{number}") == container)
            assert not access.opens(target.replace("abcd", "other"), query)
            assert not access.opens(target, query.replace("sig=", "sig=A"))
            assert not DiskAccess(grants, b"z" * 32).opens(target, query)
    for container in "abc":
        assert access.active(container) == list(alive.values()).count(container)
