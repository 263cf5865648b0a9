"""Sign-in at storage accounts and at the resource manager: keys, tokens, counters."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from contract.bench import Bench
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED, RECORDED
from contract.wire import STORAGE_SCOPE, Answer

_KEY_REQUEST = (
    '<?xml version="1.0" encoding="utf-8"?><KeyInfo><Start>{start}</Start><Expiry>{expiry}</Expiry></KeyInfo>'
)


@experiment("accounts: keys", creates="nothing")
def keys(bench: Bench) -> None:
    """What an account with and one without keys answers to a wrong Shared Key and to a SAS that a wrong key signed. The
    lab's account is observed as it is set; to observe the other kind on Azure, change the spare account's setting
    `allowSharedKeyAccess` and run again. The product names the setting `storageAuth` as the remedy."""
    shown = bench.arm("GET", bench.place.account_id, versions="storageAccounts").json or {}
    properties = shown.get("properties", {})
    facts = {name: properties.get(name) for name in ("publicNetworkAccess", "allowedCopyScope", "isHnsEnabled")}
    bench.saw("the account", None, PUBLISHED, kind=shown.get("kind"), **facts)
    keyless = properties.get("allowSharedKeyAccess") is False
    _signed(bench, "without keys" if keyless else "with keys", bench.place.blob)
    if bench.place.keyless:
        _signed(bench, "without keys", bench.place.keyless)


def _signed(bench: Bench, what: str, endpoint: str) -> None:
    source = PUBLISHED if what == "without keys" else ASSUMED
    date = datetime.now(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    account = bench.place.account if endpoint == bench.place.blob else endpoint.rpartition("/")[2]
    headers = {"x-ms-version": bench.place.storage_version, "x-ms-date": date}
    signature = {"Authorization": f"SharedKey {account}:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
    answer = bench.wire.send("GET", f"{endpoint}/?comp=list", None, {**headers, **signature})
    bench.saw(f"{what}: a wrong Shared Key", answer, source, body=False)
    sas = "sv=2021-08-06&ss=b&srt=sco&sp=rl&se=2099-01-01T00:00:00Z&sig=AAAA"
    answer = bench.wire.send("GET", f"{endpoint}/?comp=list&{sas}", None, headers)
    bench.saw(f"{what}: a wrong SAS", answer, source, body=False)


@experiment("accounts: tokens", creates="nothing")
def tokens(bench: Bench) -> None:
    """What storage answers without authorization, to an invalid token and to a token of another audience, and the form
    of a user delegation key. A 401 gets another token; a 403 names the missing role."""
    place = bench.place
    url, headers = f"{place.blob}/?comp=list", {"x-ms-version": place.storage_version}
    bench.saw("no authorization", bench.wire.send("GET", url, None, headers), ASSUMED, body=False)
    invalid = {**headers, "Authorization": "Bearer invalid"}
    bench.saw("an invalid token", bench.wire.send("GET", url, None, invalid), PUBLISHED, body=False)
    bench.saw(
        "a token of another audience", bench.wire.send("GET", url, place.cloud.scope, headers), PUBLISHED, body=False
    )
    start, expiry = (datetime.now(timezone.utc) + timedelta(hours=hours) for hours in (-1, 1))
    body = _KEY_REQUEST.format(start=f"{start:%Y-%m-%dT%H:%M:%SZ}", expiry=f"{expiry:%Y-%m-%dT%H:%M:%SZ}")
    key = bench.blob(
        "POST", "", {"Content-Type": "application/xml"}, body.encode(), restype="service", comp="userdelegationkey"
    )
    fields = [] if key.xml is None else sorted(each.tag for each in key.xml)
    bench.saw("a user delegation key", key, PUBLISHED, body=False, fields=fields)


@experiment("accounts: resource manager", creates="nothing")
def manager(bench: Bench) -> None:
    """What the resource manager answers without a token, with one of another audience, without an API version, with an
    unknown one and for a missing lab, and which counters of calls are left it shows. A throttled answer is not
    provoked, because it would throttle all others of the subscription; one that occurs is in `throttled`."""
    place = bench.place
    url = f"{place.cloud.resource_manager}{place.lab_id}"

    def get(query: str, scope: str | None = place.cloud.scope, path: str = "") -> Answer:
        return bench.wire.send("GET", f"{url}{path}{query}", scope)

    bench.saw("no token", get("?api-version=2018-09-15", None), PUBLISHED)
    bench.saw("a token of another audience", get("?api-version=2018-09-15", STORAGE_SCOPE), PUBLISHED)
    bench.saw("no API version", get(""), PUBLISHED)
    bench.saw("an unknown API version", get("?api-version=2000-01-01"), PUBLISHED)
    bench.saw("a missing lab", get("?api-version=2018-09-15", path="-missing"), PUBLISHED)
    bench.saw("a missing image", get("?api-version=2018-09-15", path="/customimages/missing"), PUBLISHED)
    answer = get("?api-version=2018-09-15")
    counters = sorted(name for name in answer.headers if "ratelimit" in name)
    bench.saw("counters of a read", None, RECORDED, counters=counters)
    answer = bench.arm("DELETE", bench.image_path(bench.name("missing")))
    counters = sorted(name for name in answer.headers if "ratelimit" in name)
    bench.saw("counters of a deletion", answer, ASSUMED, body=False, counters=counters)


@experiment("accounts: authorization", creates="nothing")
def authorization(bench: Bench) -> None:
    """What the resource manager shows of a subscription's tenants, and of permissions and deny assignments at it and at
    the lab: the status of each list, and whether it has pages. `doctor` judges by them, with one list of deny
    assignments for a subscription and all below."""
    subscription = f"/subscriptions/{bench.place.subscription}"
    found = bench.arm("GET", subscription, query={"api-version": "2022-12-01"})
    tenants = sorted({"tenantId", "managedByTenants"} & (found.json or {}).keys())
    bench.saw("the subscription", found, PUBLISHED, body=False, tenants=tenants)
    for where, scope in (("subscription", subscription), ("lab", bench.place.lab_id)):
        for kind in ("permissions", "denyAssignments"):
            path = f"{scope}/providers/Microsoft.Authorization/{kind}"
            listed = bench.arm("GET", path, query={"api-version": "2022-04-01"})
            bench.saw(f"{kind} at the {where}", listed, PUBLISHED, body=False, keys=sorted(listed.json or {}))
