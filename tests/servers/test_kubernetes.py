"""The Kubernetes fake keeps the API's rules, where tests of the importer rely on them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from tests.servers.kubernetes import (
    ADMIN,
    FakeKubernetes,
    Refused,
    Rule,
    denied,
    granted,
    serving,
    used,
)

VOLUMES = "/apis/cdi.kubevirt.io/v1beta1/namespaces/default/datavolumes"
MERGE = {"Content-Type": "application/merge-patch+json"}
STEPS = {"Content-Type": "application/json-patch+json"}


def volume(name: str, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **meta}, "spec": {"source": {"upload": {}}}}


@pytest.fixture
def fake() -> FakeKubernetes:
    return FakeKubernetes()


@pytest.fixture
async def http(fake: FakeKubernetes) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that may do everything."""
    async with (
        serving(fake) as served,
        aiohttp.ClientSession(served.url, headers={"Authorization": f"Bearer {ADMIN}"}) as session,
    ):
        yield session


async def ask(http: aiohttp.ClientSession, method: str, path: str, **kwargs: Any) -> Any:
    """Return status and body of an answer."""
    async with http.request(method, path, **kwargs) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_create_twice_is_refused(http: aiohttp.ClientSession) -> None:
    """The second of two objects of one name gets AlreadyExists in the server's words."""
    assert (await ask(http, "POST", VOLUMES, json=volume("a")))[0] == 201
    status, body = await ask(http, "POST", VOLUMES, json=volume("a"))
    assert (status, body["reason"]) == (409, "AlreadyExists")
    assert body["message"] == 'datavolumes.cdi.kubevirt.io "a" already exists'
    assert body["details"] == {"name": "a", "group": "cdi.kubevirt.io", "kind": "datavolumes"}


async def test_generated_names_differ(http: aiohttp.ClientSession) -> None:
    """`generateName` gives every object a name of its own."""
    body = {"metadata": {"generateName": "up-"}, "spec": {}}
    names = {(await ask(http, "POST", VOLUMES, json=body))[1]["metadata"]["name"] for _ in "abc"}
    assert len(names) == 3
    assert all(name.startswith("up-") and len(name) == 8 for name in names)


async def test_namespace_must_exist(http: aiohttp.ClientSession) -> None:
    """Nothing can be made in a namespace that is not there."""
    status, body = await ask(http, "POST", VOLUMES.replace("default", "nowhere"), json=volume("a"))
    assert (status, body["message"]) == (404, 'namespaces "nowhere" not found')


async def test_old_version_conflicts(http: aiohttp.ClientSession) -> None:
    """A PUT of a version that is not the newest is refused; one without a version too."""
    _, first = await ask(http, "POST", VOLUMES, json=volume("a"))
    patch = {"metadata": {"labels": {"x": "1"}}}
    await ask(http, "PATCH", VOLUMES + "/a", json=patch, headers=MERGE)
    status, body = await ask(http, "PUT", VOLUMES + "/a", json=first)
    assert (status, body["reason"]) == (409, "Conflict")
    status, body = await ask(http, "PUT", VOLUMES + "/a", json=volume("a"))
    assert (status, body["reason"]) == (422, "Invalid")


async def test_status_is_apart(http: aiohttp.ClientSession) -> None:
    """The main path leaves the status alone, and its own path everything else."""
    await ask(http, "POST", VOLUMES, json={**volume("a"), "status": {"phase": "Succeeded"}})
    both = {"spec": {"preallocation": True}, "status": {"phase": "Pending"}}
    _, main = await ask(http, "PATCH", VOLUMES + "/a", json=both, headers=MERGE)
    assert (main["spec"]["preallocation"], main.get("status")) == (True, None)
    assert main["metadata"]["generation"] == 2
    both["spec"]["preallocation"] = False
    _, status = await ask(http, "PATCH", VOLUMES + "/a/status", json=both, headers=MERGE)
    assert (status["spec"]["preallocation"], status["status"]["phase"]) == (True, "Pending")


async def test_json_patch(http: aiohttp.ClientSession) -> None:
    """JSON patch adds, tests and removes; a test that fails changes nothing."""
    await ask(http, "POST", VOLUMES, json=volume("a", labels={"a/b": "1"}))
    steps: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/labels/a~1b", "value": "1"},
        {"op": "add", "path": "/metadata/labels/c", "value": "2"},
        {"op": "remove", "path": "/metadata/labels/a~1b"},
    ]
    _, body = await ask(http, "PATCH", VOLUMES + "/a", json=steps, headers=STEPS)
    assert body["metadata"]["labels"] == {"c": "2"}
    status, _ = await ask(http, "PATCH", VOLUMES + "/a", json=steps, headers=STEPS)
    assert status == 422


async def test_finalizers_hold_and_owned_objects_go(fake: FakeKubernetes) -> None:
    """An object with finalizers is only marked; when it goes, what only it owned goes too."""
    owner = fake.create("datavolumes", volume("a", finalizers=["x"]))
    reference = {"apiVersion": "v1", "kind": "DataVolume", "name": "a"}
    mine = [{**reference, "uid": owner["metadata"]["uid"]}]
    fake.create("persistentvolumeclaims", {"metadata": {"name": "c", "ownerReferences": mine}})
    fake.delete("datavolumes", "default", "a")
    assert fake.get("datavolumes", "default", "a")["metadata"]["deletionTimestamp"]
    assert fake.find("persistentvolumeclaims", "default", "c")
    fake.apply("datavolumes", "default", "a", {"metadata": {"finalizers": None}})
    assert fake.find("datavolumes", "default", "a") is None
    assert fake.find("persistentvolumeclaims", "default", "c") is None


async def test_selectors_and_pages(fake: FakeKubernetes, http: aiohttp.ClientSession) -> None:
    """Labels and fields select; pages follow each other by the continue token."""
    for number in range(5):
        fake.create("datavolumes", volume(f"v{number}", labels={"odd": str(number % 2)}))
    found = []
    query = {"labelSelector": "odd in (0),odd!=3", "limit": "2"}
    while True:
        _, page = await ask(http, "GET", VOLUMES, params=query)
        found += [one["metadata"]["name"] for one in page["items"]]
        if not (token := page["metadata"].get("continue")):
            break
        query["continue"] = token
    assert found == ["v0", "v2", "v4"]
    _, one = await ask(http, "GET", VOLUMES, params={"fieldSelector": "metadata.name=v3"})
    assert [item["metadata"]["name"] for item in one["items"]] == ["v3"]
    status, _ = await ask(http, "GET", VOLUMES, params={"fieldSelector": "spec.x=1"})
    assert status == 400


async def test_a_page_that_comes_too_late(
    fake: FakeKubernetes, http: aiohttp.ClientSession
) -> None:
    """A list cannot go on from before a compaction: 410."""
    for name in "ab":
        fake.create("datavolumes", volume(name))
    _, page = await ask(http, "GET", VOLUMES, params={"limit": "1"})
    fake.expire_watches()
    query = {"limit": "1", "continue": page["metadata"]["continue"]}
    status, body = await ask(http, "GET", VOLUMES, params=query)
    assert (status, body["reason"]) == (410, "Expired")


async def lines(http: aiohttp.ClientSession, **query: str) -> list[tuple[str, str]]:
    """Return (type, version or code) of a watch that ends by itself."""
    found = []
    async with http.get(VOLUMES, params={"watch": "1", **query}) as answer:
        async for line in answer.content:
            event = json.loads(line)
            version = event["object"].get("metadata", {}).get("resourceVersion")
            found.append((event["type"], version or str(event["object"].get("code"))))
    return found


async def test_watch_tells_what_a_selector_sees(
    fake: FakeKubernetes, http: aiohttp.ClientSession
) -> None:
    """An object that leaves the selection looks deleted, one that enters it looks added."""
    begin = str(fake.store.revision)
    fake.create("datavolumes", volume("a", labels={"x": "1"}))
    fake.apply("datavolumes", "default", "a", {"metadata": {"labels": {"x": "2"}}})
    fake.apply("datavolumes", "default", "a", {"metadata": {"labels": {"x": "1"}}})
    fake.delete("datavolumes", "default", "a")
    found = await lines(
        http,
        resourceVersion=begin,
        labelSelector="x=1",
        timeoutSeconds="0.1",
        allowWatchBookmarks="1",
    )
    types = [kind for kind, _ in found]
    assert types == ["ADDED", "DELETED", "ADDED", "DELETED", "BOOKMARK"]
    assert found[-1][1] == str(fake.store.revision)


async def test_forgotten_history(fake: FakeKubernetes, http: aiohttp.ClientSession) -> None:
    """A watch that goes on from before a compaction is told 410, an open one too."""
    begin = str(fake.store.revision)
    watching = asyncio.create_task(lines(http, resourceVersion=begin))
    await fake.watched()
    fake.expire_watches()
    assert await watching == [("ERROR", "410")]
    assert await lines(http, resourceVersion=begin) == [("ERROR", "410")]


async def test_controllers_see_everything(fake: FakeKubernetes) -> None:
    """A watch in process begins with what there is, and misses nothing for a compaction."""
    fake.create("datavolumes", volume("a"))
    async with aclosing(fake.watch("datavolumes")) as changes:  # type: ignore[type-var]
        assert (await anext(changes)).object["metadata"]["name"] == "a"
        fake.apply("datavolumes", "default", "a", {"status": {"phase": "Pending"}})
        fake.expire_watches()
        assert (await anext(changes)).object["status"]["phase"] == "Pending"
        fake.delete("datavolumes", "default", "a")
        assert (await anext(changes)).type == "DELETED"


async def test_calls_are_recorded_as_rules_say_them(
    fake: FakeKubernetes, http: aiohttp.ClientSession
) -> None:
    """What was called can be held against what a role grants."""
    await ask(http, "POST", VOLUMES, json=volume("a"))
    await ask(http, "PATCH", VOLUMES + "/a/status", json={}, headers=MERGE)
    await ask(http, "GET", "/api/v1/pods")
    assert used(fake.calls) == {
        ("cdi.kubevirt.io", "datavolumes", "create"),
        ("cdi.kubevirt.io", "datavolumes/status", "patch"),
        ("", "pods", "list"),
    }
    assert [call.namespace for call in fake.calls] == ["default", "default", ""]
    rules = [
        {"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes"], "verbs": ["create"]},
        {"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    ]
    assert granted(rules) == used(fake.calls)


async def test_rules_are_enforced(fake: FakeKubernetes, http: aiohttp.ClientSession) -> None:
    """A user has the rights of its rules: verb, resource, name and namespace."""
    rule = {"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes"], "verbs": ["get"]}
    token = fake.user("bob", [Rule.of({**rule, "resourceNames": ["a"]}, "default")])
    fake.create("datavolumes", volume("a"))
    bob = {"Authorization": f"Bearer {token}"}
    assert (await ask(http, "GET", VOLUMES + "/a", headers=bob))[0] == 200
    assert (await ask(http, "GET", VOLUMES + "/b", headers=bob))[0] == 403
    assert (await ask(http, "DELETE", VOLUMES + "/a", headers=bob))[0] == 403
    other = VOLUMES.replace("default", "cdi")
    assert (await ask(http, "GET", other + "/a", headers=bob))[0] == 403


async def test_reviews(fake: FakeKubernetes, http: aiohttp.ClientSession) -> None:
    """TokenReview says whose a token is, SubjectAccessReview what that user may."""
    token = fake.user("bob", [Rule(("",), ("pods",), ("get",))])
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    _, told = await ask(http, "POST", path, json={"spec": {"token": token}})
    assert (told["status"]["authenticated"], told["status"]["user"]["username"]) == (True, "bob")
    _, told = await ask(http, "POST", path, json={"spec": {"token": "other"}})
    assert not told["status"].get("authenticated")
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    for verb, allowed in (("get", True), ("delete", False)):
        asked = {"verb": verb, "resource": "pods", "namespace": "default"}
        body = {"spec": {"user": "bob", "resourceAttributes": asked}}
        _, told = await ask(http, "POST", path, json=body)
        assert told["status"]["allowed"] is allowed


async def test_what_is_not_installed_has_no_path(
    fake: FakeKubernetes, http: aiohttp.ClientSession
) -> None:
    """Without its definitions a path answers as an unknown page, which is no Status."""
    fake.uninstall("cdi.kubevirt.io")
    async with http.get(VOLUMES) as answer:
        assert (answer.status, await answer.text()) == (404, "404 page not found\n")


async def test_admission_refuses(fake: FakeKubernetes, http: aiohttp.ClientSession) -> None:
    """A webhook's no is told in the webhook's words, and nothing is stored."""

    def no(verb: str, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        raise denied("validator.longhorn.io", "v2 backing image is not supported")

    fake.admit("datavolumes", no)
    status, body = await ask(http, "POST", VOLUMES, json=volume("a"))
    assert (status, body["message"].partition(":")[0]) == (
        403,
        'admission webhook "validator.longhorn.io" denied the request',
    )
    assert fake.all("datavolumes") == []


async def test_faults_strike_in_order(fake: FakeKubernetes, http: aiohttp.ClientSession) -> None:
    """A fault strikes the calls that it names, so often, after as many as it lets pass."""
    fault = fake.fail(status=429, verb="list", resource="datavolumes", retry_after=1, skip=1)
    statuses = [(await ask(http, "GET", VOLUMES))[0] for _ in range(3)]
    assert statuses == [200, 429, 200]
    assert fault.met.is_set()


async def test_lost_answer(fake: FakeKubernetes, http: aiohttp.ClientSession) -> None:
    """A lost answer leaves what was done."""
    fake.fail(do="lose", verb="create")
    with pytest.raises(aiohttp.ClientError):
        await ask(http, "POST", VOLUMES, json=volume("a"))
    assert fake.find("datavolumes", "default", "a")


async def test_the_clock_may_be_wrong(fake: FakeKubernetes, http: aiohttp.ClientSession) -> None:
    """A server whose clock is ahead dates its objects and answers so."""
    fake.store.skew = timedelta(hours=5)
    async with http.post(VOLUMES, json=volume("a")) as answer:
        made = await answer.json()
        date = parsedate_to_datetime(answer.headers["Date"])
    created = datetime.fromisoformat(made["metadata"]["creationTimestamp"])
    for moment in (date, created):
        assert moment - datetime.now(UTC) > timedelta(hours=4)


async def test_server_comes_back_on_its_port(fake: FakeKubernetes) -> None:
    """A server that is stopped and started again is at the same address, with what it knew."""
    async with serving(fake) as served, aiohttp.ClientSession() as http:
        url = served.url
        fake.create("datavolumes", volume("a"))
        await served.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(http, "GET", url + "/version")
        await served.start()
        headers = {"Authorization": f"Bearer {ADMIN}"}
        assert (await ask(http, "GET", url + VOLUMES + "/a", headers=headers))[0] == 200


def test_refusals_in_process(fake: FakeKubernetes) -> None:
    """In process, what the server would refuse is raised."""
    with pytest.raises(Refused, match="not found"):
        fake.get("datavolumes", "default", "nothing")
