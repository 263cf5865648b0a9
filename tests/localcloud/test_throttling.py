"""The resource manager throttles calls as Azure publishes it, if the control API says so."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localcloud.arm.errors import ArmError
from localcloud.arm.throttling import Bucket, Throttle
from tests.localcloud.arm_world import IMAGES, LABS, SUBSCRIPTION, lab, running

AZURES = {
    "read": Bucket(size=250, per_second=25),
    "write": Bucket(size=200, per_second=10),
    "delete": Bucket(size=200, per_second=10),
}
"""learn.microsoft.com, "Understand how Azure Resource Manager throttles requests"."""

PREFIX = "x-ms-ratelimit-remaining-subscription-"
AT_REST = {f"{PREFIX}global-reads": "7499"}


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def admitted(throttle: Throttle, method: str, count: int, subscription: str = "s") -> int:
    """Send so many calls; return how many are not rejected."""
    found = 0
    for _ in range(count):
        try:
            throttle.admit(subscription, method)
        except ArmError as error:
            assert error.status == 429
        else:
            found += 1
    return found


def test_each_subscription_and_kind_has_its_own_bucket_of_azures_size() -> None:
    """250 reads, and 25 more after a second; 200 writes and 200 deletions, and 10 more each."""
    clock = Clock()
    throttle = Throttle(clock)
    throttle.set(AZURES)
    assert [admitted(throttle, "GET", 300), admitted(throttle, "GET", 300, "other")] == [250, 250]
    assert [admitted(throttle, "PUT", 150), admitted(throttle, "POST", 150)] == [150, 50]
    assert admitted(throttle, "DELETE", 300) == 200
    clock.now = 1.0
    assert [admitted(throttle, method, 300) for method in ("GET", "PUT", "DELETE")] == [25, 10, 10]


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 12)), max_size=30))
def test_no_more_calls_pass_than_the_bucket_holds_and_gets(bursts: list[tuple[float, int]]) -> None:
    """Whenever they come; and after Retry-After one passes."""
    clock = Clock()
    throttle = Throttle(clock)
    throttle.set({"read": Bucket(size=10, per_second=2)})
    passed = 0
    for pause, count in bursts:
        clock.now += pause
        passed += admitted(throttle, "GET", count)
        assert passed <= 10 + 2 * clock.now + 1e-6
    while admitted(throttle, "GET", 1):
        passed += 1
    try:
        throttle.admit("s", "GET")
    except ArmError as error:
        clock.now += int(error.headers["Retry-After"])
    assert admitted(throttle, "GET", 1) == 1


async def test_a_throttled_call_is_not_processed_and_tells_when_to_come_again() -> None:
    """With code, message and headers as Azure sends them; the headers of other calls tell what is left."""
    async with running(labs=[lab()]) as world:
        _, _, headers = await world.call("GET", LABS)
        assert {name: value for name, value in headers.items() if name.startswith(PREFIX)} == AT_REST
        world.throttle.set({"read": Bucket(size=2, per_second=0.1), "delete": Bucket(size=1, per_second=0.1)})
        for left in (1, 0):
            status, _, headers = await world.call("GET", LABS)
            assert (status, headers[f"{PREFIX}reads"], headers[f"{PREFIX}global-reads"]) == (
                200,
                f"{left}",
                f"{28 + left}",
            )
        status, body, headers = await world.call("GET", LABS)
        assert (status, headers["retry-after"]) == (429, "10")
        assert body["error"]["code"] == "SubscriptionRequestsThrottled"
        assert f"Number of 'read' requests for subscription '{SUBSCRIPTION}'" in body["error"]["message"]
        status, _, headers = await world.call("DELETE", f"{IMAGES}/none")
        assert (status, headers[f"{PREFIX}deletes"]) == (204, "0")
