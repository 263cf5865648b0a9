"""Checks as values: order, summary, exit code, and what a check that cannot finish becomes."""

from __future__ import annotations

import asyncio
import importlib.metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.azure.core.clouds import CLOUDS
from imagefactory.azure.core.errors import cloud_error
from imagefactory.azure.core.signed_in import SignedIn, signed_in
from imagefactory.azure.permissions import Subscription
from imagefactory.doctor.access import clock_check, guarded, tenant_check
from imagefactory.doctor.checks import FACTORY, ORDER, STACK, Check, ordered, summarized, would_fail
from imagefactory.doctor.locks import check_lock
from imagefactory.doctor.tools import compared
from imagefactory.errors import ImageFactoryError
from imagefactory.state.edits import StackName

CHECKS = st.lists(
    st.builds(
        Check,
        st.sampled_from((STACK, FACTORY, "a@1", "b@2", "c@3")),
        st.sampled_from(("lab", "clock")),
        st.sampled_from(ORDER),
        st.just("fact"),
    )
)


@given(CHECKS)
def test_the_worst_comes_first_in_each_group_and_among_labs(checks: list[Check]) -> None:
    """The stack and the factory precede the labs; no check is lost, and none is in two places."""
    found = ordered(checks)
    assert sorted(map(repr, found)) == sorted(map(repr, checks))
    subjects = list(dict.fromkeys(check.subject for check in found))
    worst = {}
    for subject in subjects:
        places = [index for index, check in enumerate(found) if check.subject == subject]
        assert places == list(range(places[0], places[0] + len(places)))
        own = [ORDER.index(found[index].result) for index in places]
        assert own == sorted(own)
        worst[subject] = own[0]
    assert [each for each in subjects if "@" not in each] == [each for each in (STACK, FACTORY) if each in subjects]
    labs = [each for each in subjects if "@" in each]
    assert subjects[-len(labs) :] == labs or not labs
    assert labs == sorted(labs, key=lambda subject: (worst[subject], subject))


@given(CHECKS)
def test_the_summary_shows_each_problem_and_counts_the_rest(checks: list[Check]) -> None:
    """The numbers add up; the exit code follows from failures alone."""
    shown = list(summarized(ordered(checks)))
    assert sum(number for _, number in shown) == len(checks)
    assert [check for check, _ in shown if check.result != "ok"] == [c for c in ordered(checks) if c.result != "ok"]
    assert would_fail(checks) == any(check.result == "failure" for check in checks)


async def _never() -> Check:
    await asyncio.Event().wait()
    raise AssertionError


async def _fails(problem: Exception) -> Check:
    raise problem


async def test_a_check_that_fails_or_does_not_end_is_a_row() -> None:
    """Never an exception, also for a mistake of the program; no secret is in it."""
    late = await guarded("a@1", "lab", _never(), 0)
    assert late.result == "unknown" and "no answer within 0 s" in late.fact
    refused = await guarded("a@1", "lab", _fails(cloud_error("lab", "no", 403, "Forbidden")))
    assert refused.result == "failure" and "403 Forbidden" in refused.fact and "role" in refused.remedy
    silent = await guarded("a@1", "lab", _fails(cloud_error("lab", "no response")))
    assert silent.result == "unknown"
    assert (await guarded("a@1", "lab", _fails(ImageFactoryError("no account")))).fact == "no account"
    wrong = await guarded("a@1", "lab", _fails(KeyError("https://a/b?sig=secret")))
    assert wrong.result == "unknown" and "KeyError" in wrong.fact and "secret" not in wrong.fact


@pytest.mark.parametrize(
    ("ahead", "result", "part"),
    [
        (None, "unknown", "no response"),
        (-1.5, "ok", "2 s ahead of"),
        (60, "ok", "60 s behind"),
        (61, "warning", "61 s behind"),
        (-300, "warning", "300 s ahead of"),
        (-301, "failure", "301 s ahead of"),
    ],
)
def test_clocks_that_differ_are_judged_by_their_difference(ahead: float | None, result: str, part: str) -> None:
    """In both directions."""
    check = clock_check(ahead)
    assert check.result == result and part in check.fact


@pytest.mark.parametrize(
    ("found", "order"), [("v3.259.0", 0), ("3.258.12", -1), ("3.1000.0-dev", 1), ("4.0.0", 1), ("next", None)]
)
def test_versions_are_compared_by_their_numbers(found: str, order: int | None) -> None:
    """Not as text."""
    assert compared(found, "3.259.0") == order


def test_the_setup_page_asks_for_a_pulumi_command_as_new_as_the_sdk() -> None:
    """It names the version that is locked."""
    setup = (Path(__file__).parents[3] / "docs" / "setup.md").read_text("utf-8")
    assert f"\n{importlib.metadata.version('pulumi')} or newer" in setup


@pytest.mark.parametrize("url", ["azblob://states", "s3://states", "gs://states", "postgres://host/db", ""])
async def test_locks_of_other_backends_are_unknown(url: str) -> None:
    """Also of a container whose account is not known."""
    found = await check_lock(url, StackName("project", "dev"), CLOUDS["public"], readable=True)
    assert found.result == "unknown" and "pulumi cancel --stack dev" in found.remedy


@pytest.mark.parametrize(
    ("own", "managed", "tenant", "result", "part"),
    [
        ("A", (), "a", "ok", "tenant A"),
        ("A", ("b",), "a", "ok", "tenant A"),
        ("A", ("c", "B"), "b", "ok", "Azure Lighthouse"),
        ("A", ("c",), "b", "failure", "the sign-in is in tenant b"),
        ("A", None, "b", "failure", "its tenant is A"),
        ("A", (), "", "ok", "that of the sign-in is not known"),
        (None, None, "b", "ok", "tenant unknown"),
    ],
)
def test_the_tenant_of_a_subscription_is_compared_with_that_of_the_sign_in(
    own: str | None, managed: tuple[str, ...] | None, tenant: str, result: str, part: str
) -> None:
    """Another tenant is a failure, unless the subscription is delegated to that of the sign-in."""
    tenants = None if managed is None else [{"tenantId": each} for each in managed]
    found = tenant_check("s", Subscription.model_validate({"tenantId": own, "managedByTenants": tenants}), tenant)
    assert found.result == result and part in found.fact
    assert result == "ok" or "az login --tenant" in found.remedy


class _Credential:
    def __init__(self, token: str) -> None:
        self.token, self.expires_on = token, 0

    async def get_token(self, *_: str) -> _Credential:
        return self


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (f"e30.eyJ0aWQiOiAidCIsICJvaWQiOiAibyIsICJhenAiOiAiYSJ9.{'x' * 9}", SignedIn("t", "o", "a")),
        ("e30.eyJ0aWQiOiAidCIsICJvaWQiOiAibyIsICJncm91cHMiOiBbImciXX0.x", SignedIn("t", "o", groups=frozenset({"g"}))),
        ("e30.eyJ0aWQiOiA3fQ.x", SignedIn()),
        ("e30.W10.x", SignedIn()),
        ("e30.%%%.x", SignedIn()),
        ("opaque", SignedIn()),
    ],
)
async def test_the_claims_of_a_token_are_read_if_it_has_any(token: str, expected: SignedIn) -> None:
    """A client must not rely on the form of a token."""
    found = await signed_in(_Credential(token), "scope", {})  # type: ignore[arg-type]
    assert found == expected and token not in found.text()
    for configured, known in (("contoso.example.com", ""), ("12345678-1234-4123-8123-123456789ABC",) * 2):
        found = await signed_in(_Credential(token), "scope", {"ARM_TENANT_ID": configured})  # type: ignore[arg-type]
        assert found.tenant == (expected.tenant or known)


@given(st.text(), st.binary())
def test_no_token_makes_the_claims_fail(text: str, body: bytes) -> None:
    """Whatever it is."""
    import base64

    for token in (text, f"a.{text}.c", f"a.{base64.urlsafe_b64encode(body).decode()}.c"):
        asyncio.run(signed_in(_Credential(token), "scope")).text()  # type: ignore[arg-type]
