"""The declared resources under Pulumi's mocks: one chain per image, as planned."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from pulumi.output import Unknown
from pulumi.runtime import mocks, rpc

from components.distribution import distribute
from components.lab_images import NOT_COMPARED, VhdSource
from imagefactory.configuration.copy_settings import CopySettings
from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.stack_settings import FactoryLab, Settings
from imagefactory.diagnostics import Location
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.blobs import STAGING_CONTAINER
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.labs.plan import Plan
from imagefactory.planning.labs.planned_images import LabPlan, PlannedImage, Relay, Retained, Unadopted
from imagefactory.state.stack_state import COPY, CUSTOM_IMAGE, RELEASE, StackState

SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
SOURCE = VhdSource("https://factory.blob.core.windows.net/imagefactoryvhds", "/subscriptions/s/factory")
EMPTY = StackState()
SETTINGS = Settings(factory=FactoryLab(subscription_id=SUBSCRIPTION, lab_name="factory"))
SAVED = datetime(2026, 6, 5, 10, 11, 12, tzinfo=timezone.utc)


class Recorder(mocks.Mocks):
    """Returns the inputs of every registration, and records it. At preview, the outputs of a copy are unknown."""

    def __init__(self, preview: bool = False) -> None:
        self.registered: list[mocks.MockResourceArgs] = []
        self.copied = {"copyId": rpc.UNKNOWN if preview else "copy-1", "digest": rpc.UNKNOWN if preview else "sha256:1"}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.registered.append(args)
        outputs = dict(args.inputs)
        if args.typ == "vhdcopy:index:VhdCopy":
            outputs |= {"url": outputs["destinationUrl"], **self.copied}
        if args.typ == "azure-native:devtestlab:CustomImage":
            outputs["provisioningState"] = "Succeeded"
        return f"{args.name}-id", outputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        return {}, []

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        return {args.name: dict(args.inputs) for args in self.registered if args.typ == kind}


def factory_image(name: str, *, os_type: Any = "Windows", generalized: bool = True) -> FactoryImage:
    return FactoryImage(
        name=name,
        image_path=ImagePath.parse("Win2016/Datacenter.json"),
        description="about it",
        author="factory",
        os_type=os_type,
        generalized=generalized,
        saved_at=SAVED,
        saved_at_source="companion",
        vhd_name=f"{name}.vhd",
        length=64 * 1024 * 1024 + 512,
        created=SAVED,
    )


def lab_plan(name: str, *images: PlannedImage) -> LabPlan:
    lab = TargetLab(SUBSCRIPTION, name, None, (), Location("labs.json", 1, 1))
    facts = LabFacts(
        id=f"/subscriptions/{SUBSCRIPTION}/resourceGroups/labs/providers/Microsoft.DevTestLab/labs/{name}",
        subscription_id=SUBSCRIPTION,
        resource_group="labs",
        name=name,
        region="westeurope",
        storage_account_id=f"/subscriptions/{SUBSCRIPTION}/storageAccounts/st{name}",
    )
    return LabPlan(lab.label, lab, facts, images)


def planned(image: FactoryImage, *, standing: bool = False) -> PlannedImage:
    return PlannedImage(image, image.name, f"/labs/x/customimages/{image.name}", standing, {"ImagePath": "p"})


def declared(
    plan: Plan,
    state: StackState = EMPTY,
    settings: Settings = SETTINGS,
    preview: bool = False,
    outputs: list[Any] | None = None,
) -> Recorder:
    """What is registered for a plan; the stack output `labs` is added to `outputs`."""
    recorder = Recorder(preview)

    @mocks.test  # type: ignore[untyped-decorator]  # pulumi types its mocks, but not this decorator
    async def program() -> None:
        found = await distribute(plan, SOURCE, settings, state)
        if outputs is not None:
            outputs.append(found.outputs)

    # Pulumi's mocks need a current event loop of the thread, and earlier asynchronous tests leave none.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        mocks.set_mocks(recorder, preview=preview)
        program()
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return recorder


@pytest.fixture(scope="module")
def two_labs() -> Recorder:
    first, second = factory_image("first"), factory_image("second", os_type="Linux")
    return declared(
        Plan((lab_plan("web", planned(first), planned(second, standing=True)), lab_plan("data", planned(first))))
    )


def test_each_image_of_each_lab_is_one_chain_of_three(two_labs: Recorder) -> None:
    """VhdCopy, CustomImage and StagedVhdRelease have the same name, once per lab and image."""
    chains = [set(two_labs.of(kind)) for kind in (
        "vhdcopy:index:VhdCopy", "azure-native:devtestlab:CustomImage", "vhdcopy:index:StagedVhdRelease"
    )]  # fmt: skip
    assert chains[0] == chains[1] == chains[2]
    assert sorted(name.partition("@")[0] + "/" + name.partition("/")[2] for name in chains[0]) == [
        "data/first", "web/first", "web/second",
    ]  # fmt: skip


def test_the_custom_image_is_created_from_the_staged_vhd_in_the_labs_own_account(two_labs: Recorder) -> None:
    """The URL of the VHD is in the staging container of the lab's account, and has no query."""
    for name, inputs in two_labs.of("azure-native:devtestlab:CustomImage").items():
        label, _, image = name.partition("/")
        lab = label.partition("@")[0]
        blob = f"{STAGING_CONTAINER}/{image}.vhd"
        assert inputs["vhd"]["imageName"] == f"https://st{lab}.blob.core.windows.net/{blob}"


@pytest.mark.parametrize(
    ("os_type", "generalized", "sys_prep"),
    [("Windows", True, True), ("Windows", False, False), ("Linux", True, False), ("Linux", False, False)],
)
def test_only_a_generalized_windows_image_is_sysprepped(os_type: str, generalized: bool, sys_prep: bool) -> None:
    """Not for Linux or specialized images."""
    image = factory_image("one", os_type=os_type, generalized=generalized)
    (inputs,) = declared(Plan((lab_plan("web", planned(image)),))).of("azure-native:devtestlab:CustomImage").values()
    assert inputs["vhd"]["sysPrep"] is sys_prep


@pytest.mark.parametrize("method", ["ranged", "service"])
def test_an_image_depends_on_its_copy_whatever_copies(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that none is created from a VHD whose copy failed, although its URL is known beforehand."""
    depends: dict[str, list[str]] = {}
    register: Any = mocks.MockMonitor.RegisterResource

    def noted(monitor: Any, request: Any) -> Any:
        depends[request.type] = [urn.split("::")[2].rpartition("$")[2] for urn in request.dependencies]
        return register(monitor, request)

    monkeypatch.setattr(mocks.MockMonitor, "RegisterResource", noted)
    plan = Plan((lab_plan("web", planned(factory_image("one"))),), ())
    declared(plan, settings=SETTINGS.model_copy(update={"copying": CopySettings(method=method)}))
    assert depends[CUSTOM_IMAGE] == [COPY] and set(depends[RELEASE]) == {COPY, CUSTOM_IMAGE}


def test_the_release_waits_for_its_own_copy(two_labs: Recorder) -> None:
    """It has the copyId of its copy, so a new copy is released again."""
    for inputs in two_labs.of("vhdcopy:index:StagedVhdRelease").values():
        assert inputs["copyId"] == "copy-1"


def test_each_subscription_has_one_azure_native_provider(two_labs: Recorder) -> None:
    """Two labs of the same subscription share it."""
    providers = two_labs.of("pulumi:providers:azure-native")
    assert [inputs["subscriptionId"] for inputs in providers.values()] == [SUBSCRIPTION]


@pytest.mark.parametrize("standing", [True, False])
@pytest.mark.parametrize("in_state", [True, False])
def test_nothing_is_ever_imported(standing: bool, in_state: bool) -> None:
    """The engine may write to what it imports; of an existing image, nothing but its place is compared."""
    plan = lab_plan("web", planned(factory_image("one"), standing=standing))
    state = StackState({f"{plan.label}/one": {CUSTOM_IMAGE: {}}} if in_state else {})
    recorder = declared(Plan((plan,)), state)
    assert CUSTOM_IMAGE in {args.typ for args in recorder.registered}
    assert [args.resource_id for args in recorder.registered if args.resource_id] == []


def left_out(name: str, state: str = "Succeeded") -> StandingImage:
    return StandingImage(f"/labs/x/customImages/{name}", name, state, "Win2016/Datacenter.json", None, None)


@pytest.mark.parametrize("of_another_stack", [True, False])
def test_of_an_image_that_is_left_out_only_what_the_state_has_is_declared(of_another_stack: bool) -> None:
    """A copy of an earlier run stays as it is: Azure may be reading the staged VHD. The image is not declared."""
    image = left_out("ONE", "Creating")
    plan = lab_plan("web", planned(factory_image("two")))
    if of_another_stack:
        plan = replace(plan, foreign=(image,))
    else:
        plan = replace(plan, unadopted=(Unadopted(image, planned(factory_image("ONE"), standing=True)),))
    state = StackState({f"{plan.label}/one": {COPY: CHAIN[COPY]}, f"{plan.label}/else": {COPY: CHAIN[COPY]}})
    recorder = declared(Plan((plan,)), state)
    assert set(recorder.of(CUSTOM_IMAGE)) == set(recorder.of(RELEASE)) == {f"{plan.label}/two"}
    assert set(recorder.of(COPY)) == {f"{plan.label}/two", f"{plan.label}/one"}
    assert recorder.of(COPY)[f"{plan.label}/one"] == CHAIN[COPY]


def test_the_outputs_of_a_lab_have_the_images_that_are_left_out() -> None:
    """With the state that Azure lists, so that no consumer of the outputs takes them for lost."""
    image = left_out("one", "Failed")
    plan = replace(lab_plan("web"), unadopted=(Unadopted(image, planned(factory_image("one"))),))
    outputs: list[Any] = []
    declared(Plan((plan,)), outputs=outputs)
    assert outputs == [
        {plan.label: {"one": {"id": image.id, "imagePath": "Win2016/Datacenter.json", "state": "Failed"}}}
    ]


def test_no_input_of_an_existing_image_is_compared_except_its_place(two_labs: Recorder) -> None:
    """A difference in an input that is compared would update or replace the image."""
    place = {"labName", "name", "resourceGroupName"}
    for inputs in two_labs.of("azure-native:devtestlab:CustomImage").values():
        assert set(inputs) - place <= set(NOT_COMPARED)


def test_only_a_verified_copy_has_a_digest_tag(two_labs: Recorder) -> None:
    """A copy by ranges knows the digest of all ranges; the service's own copy does not."""
    images = two_labs.of("azure-native:devtestlab:CustomImage")
    assert {image["tags"]["Digest"] for image in images.values()} == {"sha256:1"}
    plan = Plan((lab_plan("web", planned(factory_image("first"))),))
    by_service = declared(plan, settings=SETTINGS.model_copy(update={"copying": CopySettings(method="service")}))
    (image,) = by_service.of("azure-native:devtestlab:CustomImage").values()
    assert set(image["tags"]) == {"ImagePath"}


def test_a_relay_is_named_by_the_staged_vhd_in_its_account() -> None:
    """The provider receives the blob and account to copy from, and the number of copies that do so.

    The host name is in lower case: `StRelay` and `strelay` in two labs are the same account.
    """
    image = replace(
        planned(factory_image("first")),
        relay=Relay("/subscriptions/x/storageAccounts/StRelay", 3, "/labs/r/customimages/first"),
    )
    (copy,) = declared(Plan((lab_plan("web", image),))).of("vhdcopy:index:VhdCopy").values()
    assert copy["relayUrl"] == f"https://strelay.blob.core.windows.net/{STAGING_CONTAINER}/first.vhd"
    assert (
        copy["relayAccountId"] == "/subscriptions/x/storageAccounts/StRelay"
        and copy["relayUses"] == 3
        and copy["relayImageId"] == "/labs/r/customimages/first"
    )


def test_in_the_factorys_region_the_relay_is_the_factorys_vhd() -> None:
    """It is not staged anywhere: the provider receives its own URL."""
    relay = Relay("/subscriptions/s/factory", 5, "/labs/web/customimages/first", is_source=True)
    image = replace(planned(factory_image("first")), relay=relay)
    (copy,) = declared(Plan((lab_plan("web", image),))).of("vhdcopy:index:VhdCopy").values()
    assert copy["relayUrl"] == copy["sourceUrl"] == f"{SOURCE.container_url}/first.vhd"


def test_labs_of_one_account_share_one_staged_vhd(two_labs: Recorder) -> None:
    """Its URL names no lab. Without a relay, no input names one."""
    first, second = lab_plan("web", planned(factory_image("one"))), lab_plan("data", planned(factory_image("one")))
    shared = replace(second, facts=replace(second.facts, storage_account_id="/subscriptions/X/StWeb"))
    copies = declared(Plan((first, shared))).of("vhdcopy:index:VhdCopy").values()
    assert {copy["destinationUrl"] for copy in copies} == {
        f"https://stweb.blob.core.windows.net/{STAGING_CONTAINER}/one.vhd"
    }
    assert not any(name.startswith("relay") for copy in copies for name in copy)


def test_a_preview_knows_all_tags_but_the_digest() -> None:
    """The unknown output of the copy does not make planned tags unknown."""
    plan = Plan((lab_plan("web", planned(factory_image("one"))),))
    (image,) = declared(plan, preview=True).of("azure-native:devtestlab:CustomImage").values()
    digest = image["tags"].pop("Digest")
    assert isinstance(digest, Unknown) and image["tags"] == {"ImagePath": "p"}
    assert image["vhd"]["imageName"] == f"https://stweb.blob.core.windows.net/{STAGING_CONTAINER}/one.vhd"


def test_the_provider_receives_the_copy_settings_as_strings() -> None:
    """A setting without a value is omitted, so that the provider's default applies."""
    settings = SETTINGS.model_copy(update={"copying": CopySettings(max_mbps=800), "storage_auth": "key"})
    (provider,) = declared(Plan(()), settings=settings).of("pulumi:providers:vhdcopy").values()
    assert provider["copyMethod"] == "ranged" and provider["maxMbps"] == "800" and provider["storageAuth"] == "key"
    assert "maxInFlight" not in provider


CHAIN: dict[str, dict[str, Any]] = {
    COPY: {"destinationUrl": "https://stweb/old.vhd", "sourceLength": 1024.0, "imageId": "/labs/x/customimages/old"},
    CUSTOM_IMAGE: {"labName": "Web", "resourceGroupName": "Labs", "name": "old", "tags": {"ImagePath": "p"}},
    RELEASE: {"url": "https://stweb/old.vhd", "copyId": "copy-0"},
}


@pytest.mark.parametrize("readable", [True, False])
def test_a_kept_image_is_declared_as_the_state_has_it(readable: bool) -> None:
    """The provider's resources have the inputs of the state; the custom image has its place, the rest is ignored.

    All images of a lab that cannot be read are declared so, with the component and the provider that it had.
    """
    web = lab_plan("web", planned(factory_image("new")))
    state = StackState({f"{web.label}/old": CHAIN, "other@00000000/old": CHAIN})
    if readable:
        plan = Plan((replace(web, retained=(Retained("old", "p", "reason"),)),))
    else:
        plan = Plan((), unread=(web.lab,))
    recorder = declared(plan, state)
    for kind in (COPY, RELEASE):
        assert recorder.of(kind)[f"{web.label}/old"] == CHAIN[kind]
    (image,) = (args for args in recorder.registered if args.name.endswith("/old") and args.typ == CUSTOM_IMAGE)
    assert image.inputs == {"labName": "Web", "resourceGroupName": "Labs", "name": "old"} and not image.resource_id
    assert set(recorder.of(CUSTOM_IMAGE)) == {f"{web.label}/old"} | ({f"{web.label}/new"} if readable else set())
    assert set(recorder.of("pulumi:providers:azure-native")) == {f"subscription-{SUBSCRIPTION}"}
    assert set(recorder.of("imagefactory:labs:LabImages")) == {web.label}


def test_a_lab_that_cannot_be_read_and_is_not_in_the_state_is_not_declared() -> None:
    """There is nothing to keep."""
    assert declared(Plan((), unread=(lab_plan("web").lab,))).of("imagefactory:labs:LabImages") == {}


def test_resources_marked_for_deletion_are_not_part_of_the_state() -> None:
    """Resources of other types are ignored, too."""
    urn = "urn:pulumi:dev::imagefactory::imagefactory:labs:LabImages${kind}::web@1/{name}"
    place = {"labName": "web", "resourceGroupName": "labs", "name": "a"}
    resources: list[dict[str, Any]] = [
        {"type": CUSTOM_IMAGE, "urn": urn.format(kind=CUSTOM_IMAGE, name="a"), "inputs": place},
        {"type": CUSTOM_IMAGE, "urn": urn.format(kind=CUSTOM_IMAGE, name="b"), "inputs": {}, "delete": True},
        {"type": COPY, "urn": urn.format(kind=COPY, name="c"), "inputs": {"sourceUrl": "https://x/c.vhd"}},
        {"type": "pulumi:pulumi:Stack", "urn": "urn:pulumi:dev::imagefactory::pulumi:pulumi:Stack::imagefactory-dev"},
    ]
    state = StackState.of(resources)
    assert state.images == {"web@1/a"} and state.of_lab("web@1") == ["a", "c"]
    assert state.chains["web@1/a"] == {CUSTOM_IMAGE: place}
