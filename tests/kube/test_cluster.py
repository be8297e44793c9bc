"""Objects are read, created, changed and deleted, through everything that may pass."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from importer.config import Kubernetes
from importer.errors import (
    CallerError,
    ClusterForbidden,
    ClusterRefused,
    ClusterUnavailable,
    NoSpace,
    NotInstalled,
    ObjectGone,
    TargetBusy,
    TargetError,
)
from importer.kube.cluster import CONFLICTS, PAGE, Cluster
from importer.kube.resources import CLAIMS, DATA_VOLUMES, PODS, UPLOAD_TOKEN_REQUESTS
from tests.kube.conftest import IMPATIENT
from tests.servers import kubernetes
from tests.servers.kubernetes import FakeKubernetes, Refused, Rule, denied

SPEC = {"source": {"upload": {}}}


def volume(name: str, **meta: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", **meta}
    return DATA_VOLUMES.object(metadata, spec=SPEC)


async def test_create_find_and_delete(cluster: Cluster) -> None:
    """What was created is found as the server keeps it, until it was deleted."""
    made = await cluster.create(DATA_VOLUMES, volume("a"))
    assert made["metadata"]["uid"]
    assert await cluster.get(DATA_VOLUMES, "default", "a") == made
    assert await cluster.delete(DATA_VOLUMES, "default", "a") is None
    assert await cluster.find(DATA_VOLUMES, "default", "a") is None
    with pytest.raises(ObjectGone, match=r'DataVolume default/a: .*"a" not found'):
        await cluster.get(DATA_VOLUMES, "default", "a")


async def test_create_what_is_there_already(cluster: Cluster) -> None:
    """A name that is taken is refused with the server's words."""
    await cluster.create(DATA_VOLUMES, volume("a"))
    with pytest.raises(TargetBusy, match=r'datavolumes.cdi.kubevirt.io "a" already exists'):
        await cluster.create(DATA_VOLUMES, volume("a"))


async def test_create_whose_answer_was_lost(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A second try that finds what the first one made takes it for its own by its labels."""
    fake.fail(do="lose", verb="create")
    made = await cluster.create(DATA_VOLUMES, volume("a", labels={"of": "us"}))
    assert made == fake.get("datavolumes", "default", "a")
    assert [call.verb for call in fake.calls] == ["create", "create", "get"]


@pytest.mark.parametrize(
    ("theirs", "ours"), [({}, {"of": "us"}), ({"of": "others"}, {"of": "us"}), ({}, {})]
)
async def test_create_that_failed_while_others_took_the_name(
    cluster: Cluster, fake: FakeKubernetes, theirs: dict[str, str], ours: dict[str, str]
) -> None:
    """An object that does not carry our labels is somebody else's, also after a lost try."""
    fake.create("datavolumes", volume("a", labels=theirs))
    fake.fail(do="close", verb="create")
    with pytest.raises(TargetBusy):
        await cluster.create(DATA_VOLUMES, volume("a", labels=ours))


async def test_create_once_more(cluster: Cluster) -> None:
    """An object that we made before is not made again silently: its maker must look at it."""
    await cluster.create(DATA_VOLUMES, volume("a", labels={"of": "us"}))
    with pytest.raises(TargetBusy):
        await cluster.create(DATA_VOLUMES, volume("a", labels={"of": "us"}))


async def test_patch_merges(cluster: Cluster) -> None:
    """A patch changes what it names, removes what it sets to null, and returns the whole."""
    await cluster.create(DATA_VOLUMES, volume("a", labels={"x": "1", "y": "2"}))
    patch = {"metadata": {"labels": {"x": None, "z": "3"}}}
    changed = await cluster.patch(DATA_VOLUMES, "default", "a", patch)
    assert changed["metadata"]["labels"] == {"y": "2", "z": "3"}


async def test_change_reads_again_after_a_conflict(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A change that somebody else was quicker than is made on what that one left."""
    await cluster.create(DATA_VOLUMES, volume("a"))
    seen = []

    def change(found: dict[str, Any]) -> dict[str, Any]:
        labels = found["metadata"].get("labels", {})
        seen.append(dict(labels))
        if len(seen) == 1:
            fake.apply("datavolumes", "default", "a", {"metadata": {"labels": {"theirs": "1"}}})
        found["metadata"]["labels"] = {**labels, "ours": "1"}
        return found

    changed = await cluster.change(DATA_VOLUMES, "default", "a", change)
    assert seen == [{}, {"theirs": "1"}]
    assert changed["metadata"]["labels"] == {"theirs": "1", "ours": "1"}


async def test_change_that_changes_nothing_asks_nothing(
    cluster: Cluster, fake: FakeKubernetes
) -> None:
    """Nothing is written when there is nothing to change."""
    await cluster.create(DATA_VOLUMES, volume("a"))
    await cluster.change(DATA_VOLUMES, "default", "a", lambda found: found)
    await cluster.change(DATA_VOLUMES, "default", "a", lambda _: None)
    assert [call.verb for call in fake.calls] == ["create", "get", "get"]


async def test_conflicts_without_end(cluster: Cluster, fake: FakeKubernetes) -> None:
    """An object that others change all the time is given up after a bounded number of tries."""
    await cluster.create(DATA_VOLUMES, volume("a"))

    def change(found: dict[str, Any]) -> dict[str, Any]:
        patch = {"metadata": {"labels": {"n": found["metadata"]["resourceVersion"]}}}
        fake.apply("datavolumes", "default", "a", patch)
        return {**found, "spec": {}}

    with pytest.raises(TargetBusy, match="the object has been modified"):
        await cluster.change(DATA_VOLUMES, "default", "a", change)
    assert sum(call.verb == "update" for call in fake.calls) == CONFLICTS


async def test_quota_race_is_tried_again(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A create that lost a race for a quota's count is a conflict, and passes the next time."""
    fake.fail(status=409, verb="create")
    await cluster.create(DATA_VOLUMES, volume("a"))
    assert [call.verb for call in fake.calls] == ["create", "create"]


async def test_delete_spares_another_of_the_same_name(
    cluster: Cluster, fake: FakeKubernetes
) -> None:
    """Deleting with a uid leaves an object alone that has taken the name since."""
    old = await cluster.create(DATA_VOLUMES, volume("a"))
    fake.delete("datavolumes", "default", "a")
    new = fake.create("datavolumes", volume("a"))
    uid = old["metadata"]["uid"]
    assert await cluster.delete(DATA_VOLUMES, "default", "a", uid) is None
    assert fake.get("datavolumes", "default", "a") == new


async def test_delete_of_what_finalizers_hold(cluster: Cluster, fake: FakeKubernetes) -> None:
    """An object that is held is returned as it is; deleting it again is fine."""
    fake.create("datavolumes", volume("a", finalizers=["x"]))
    for _ in "ab":
        held = await cluster.delete(DATA_VOLUMES, "default", "a")
        assert held
        assert held["metadata"]["finalizers"] == ["x"]


def pods(fake: FakeKubernetes, count: int) -> list[str]:
    """Make so many pods and return their names, in order."""
    names = [f"p{number:04}" for number in range(count)]
    for name in names:
        fake.create("pods", {"metadata": {"name": name, "labels": {"a": "b"}}})
    return names


async def test_lists_come_in_pages(cluster: Cluster, fake: FakeKubernetes) -> None:
    """All pages of a list are read; built-in kinds get the head that their items lack."""
    names = pods(fake, 2 * PAGE + 1)
    found = await cluster.all(PODS, "default", labels="a=b")
    assert [one["metadata"]["name"] for one in found] == names
    assert {(one["kind"], one["apiVersion"]) for one in found} == {("Pod", "v1")}
    assert len(fake.calls) == 3


async def test_history_forgotten_between_pages(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A list whose version is forgotten half-way is begun anew, and has everything once."""
    names = pods(fake, PAGE + 1)
    fault = fake.fail(status=410, verb="list", skip=1)
    found = await cluster.all(PODS)
    assert [one["metadata"]["name"] for one in found] == names
    assert fault.met.is_set()


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503},
        {"status": 504},
        {"status": 429, "retry_after": 0},
        {"do": "close"},
        {"do": "garbage"},
        {"do": "garbage", "status": 502},
    ],
    ids=str,
)
async def test_what_passes_is_tried_again(
    cluster: Cluster, fake: FakeKubernetes, fault: dict[str, Any]
) -> None:
    """Two failures that may pass are not noticed by who asks."""
    fake.create("datavolumes", volume("a"))
    fake.fail(**fault, times=2)
    assert await cluster.get(DATA_VOLUMES, "default", "a")
    assert len(fake.calls) == 3


async def test_server_that_asks_for_time_gets_it(cluster: Cluster, fake: FakeKubernetes) -> None:
    """`Retry-After` is kept to: with less patience than that, nothing is sent before its end."""
    cluster.settings = IMPATIENT
    fake.fail(status=429, retry_after=5)
    with pytest.raises(ClusterUnavailable, match="Too many requests"):
        await cluster.get(DATA_VOLUMES, "default", "a")
    assert len(fake.calls) == 1


async def test_server_that_never_answers(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A server that hangs is given up after the configured time, and named."""
    cluster.settings = Kubernetes(timeout=0.1, patience=0.3)
    fake.fail(do="hang", times=100)
    with pytest.raises(ClusterUnavailable, match=r"API server http://127.*cannot list pods .*s: "):
        await cluster.all(PODS)


async def test_server_restarts(
    cluster: Cluster, fake: FakeKubernetes, served: kubernetes.Cluster
) -> None:
    """A request that is made while the server is away is answered when it is back."""
    fake.create("datavolumes", volume("a"))
    await served.stop()
    getting = asyncio.create_task(cluster.get(DATA_VOLUMES, "default", "a"))
    done, _ = await asyncio.wait([getting], timeout=0.2)
    assert not done
    await served.start()
    assert (await getting)["metadata"]["name"] == "a"


async def test_nobody_there(cluster: Cluster, served: kubernetes.Cluster) -> None:
    """A server that does not come back is unavailable: retryable, side target."""
    cluster.settings = IMPATIENT
    await served.stop()
    with pytest.raises(ClusterUnavailable, match="cannot get DataVolume default/a") as caught:
        await cluster.get(DATA_VOLUMES, "default", "a")
    assert (caught.value.side, caught.value.retryable) == ("target", True)


async def test_role_that_lacks_a_right(
    cluster: Cluster, fake: FakeKubernetes, served: kubernetes.Cluster
) -> None:
    """What RBAC refuses says which verb on which resource is missing, and is not tried again."""
    fake.users[kubernetes.ADMIN].rules = [Rule(("",), ("pods",), ("get",))]
    text = r'cannot create resource "datavolumes" in API group "cdi.kubevirt.io".* role must grant'
    with pytest.raises(ClusterForbidden, match=text):
        await cluster.create(DATA_VOLUMES, volume("a"))
    assert len(fake.calls) == 1


def quota(verb: str, new: dict[str, Any], old: dict[str, Any] | None) -> None:
    """Refuse as the quota admission of Kubernetes does."""
    text = (
        'persistentvolumeclaims "c" is forbidden: exceeded quota: q, requested: '
        "requests.storage=2Gi, used: requests.storage=0, limited: requests.storage=1Gi"
    )
    raise Refused(403, "Forbidden", text)


def webhook(verb: str, new: dict[str, Any], old: dict[str, Any] | None) -> None:
    raise denied("validator.longhorn.io", "v2 backing image is not supported")


@pytest.mark.parametrize(
    ("admission", "error", "words"),
    [
        (quota, NoSpace, "exceeded quota: q"),
        (webhook, ClusterRefused, "v2 backing image is not supported"),
    ],
)
async def test_the_other_403s(
    cluster: Cluster, fake: FakeKubernetes, admission: Any, error: type[TargetError], words: str
) -> None:
    """A quota and a webhook refuse with 403 too; neither is a matter of rights."""
    fake.admit("persistentvolumeclaims", admission)
    with pytest.raises(error, match=words):
        await cluster.create(CLAIMS, CLAIMS.object({"name": "c", "namespace": "default"}))


async def test_what_the_schema_does_not_allow(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A value that is refused says which and what would do, and is not tried again."""
    wrong = volume("A name")
    with pytest.raises(ClusterRefused, match=r'Invalid value: "A name".*422 Invalid'):
        await cluster.create(DATA_VOLUMES, wrong)
    assert len(fake.calls) == 1


async def test_what_is_not_installed(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A cluster without CDI is told apart from an object that is missing."""
    fake.uninstall("cdi.kubevirt.io")
    with pytest.raises(NotInstalled, match=r"no datavolumes.cdi.kubevirt.io.* is CDI installed"):
        await cluster.find(DATA_VOLUMES, "default", "a")


async def test_token_that_expired_is_read_again(
    cluster: Cluster, fake: FakeKubernetes, served: kubernetes.Cluster
) -> None:
    """Credentials that the server refuses are read from their file once more."""
    fake.create("datavolumes", volume("a"))
    fake.users["new-token"] = fake.users.pop(kubernetes.ADMIN)
    served.kubeconfig(Path(cluster.settings.kubeconfig), "new-token")
    assert await cluster.get(DATA_VOLUMES, "default", "a")


async def test_token_that_nobody_knows(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Credentials that are refused twice are an error of their own, not a reason to go on."""
    fake.users.clear()
    with pytest.raises(ClusterForbidden, match=r"refuses our credentials.*Unauthorized"):
        await cluster.get(DATA_VOLUMES, "default", "a")


async def test_virtual_resources_are_answered(cluster: Cluster, fake: FakeKubernetes) -> None:
    """An upload token is asked for like any object, and nothing is kept."""
    fake.answer("uploadtokenrequests", lambda _, __, new: {**new, "status": {"token": "secret"}})
    metadata = {"generateName": "up-", "namespace": "default"}
    asked = UPLOAD_TOKEN_REQUESTS.object(metadata, spec={"pvcName": "a"})
    made = await cluster.create(UPLOAD_TOKEN_REQUESTS, asked)
    assert made["status"]["token"] == "secret"


async def test_names_lead_nowhere_else(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A name with slashes or dots in it does not reach another path."""
    for name in ("../pods", "a/status", "a?watch=1"):
        assert await cluster.find(DATA_VOLUMES, "default", name) is None
    assert {call.resource for call in fake.calls} == {"datavolumes"}
    assert {call.subresource for call in fake.calls} == {""}


async def test_found_in_every_namespace_that_is_allowed(
    cluster: Cluster, fake: FakeKubernetes
) -> None:
    """With configured namespaces only these are asked, each by itself; else all at once."""
    for namespace in ("default", "cdi", "kube-system"):
        fake.create("datavolumes", volume("a", namespace=namespace, labels={"of": "us"}))
        fake.create("datavolumes", volume("b", namespace=namespace))
    for allowed, asked, found in (
        ((), [""], ["cdi", "default", "kube-system"]),
        (("default", "cdi"), ["default", "cdi"], ["default", "cdi"]),
    ):
        cluster.settings = Kubernetes(namespaces=allowed)
        fake.calls.clear()
        ours = await cluster.everywhere(DATA_VOLUMES, labels="of=us")
        assert [one["metadata"]["namespace"] for one in ours] == found
        assert {one["metadata"]["name"] for one in ours} == {"a"}
        assert [call.namespace for call in fake.calls] == asked


@pytest.mark.parametrize(("allowed", "fine"), [((), True), (("vms",), False), (("a", "b"), True)])
async def test_namespaces_that_are_allowed(
    cluster: Cluster, allowed: tuple[str, ...], fine: bool
) -> None:
    """Images go into the configured namespaces only; none configured means any."""
    cluster.settings = Kubernetes(namespaces=allowed)
    if fine:
        cluster.check_namespace("a")
    else:
        with pytest.raises(CallerError, match=r"namespace a is not one of vms"):
            cluster.check_namespace("a")
