"""The Kubernetes fake answers as a real API server did (transcripts/kube-apiserver.txt).

The transcript has kubectl's commands and what it printed. Here the requests that kubectl makes of
them are sent, and the answers held against what it must have got to print that.
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.servers.kubernetes import ADMIN, FakeKubernetes, Rule, serving

TRANSCRIPT = Path(__file__).parent / "transcripts/kube-apiserver.txt"
MERGE = {"Content-Type": "application/merge-patch+json"}


def recorded() -> dict[str, str]:
    """Return what was printed, by command."""
    blocks = re.split(r"(?m)^\$ ", TRANSCRIPT.read_text())[1:]
    return {command: printed for command, _, printed in (block.partition("\n") for block in blocks)}


RECORDED = recorded()


def printed(start: str) -> str:
    """Return what the command that starts so printed."""
    [found] = [text for command, text in RECORDED.items() if command.startswith(start)]
    return found.strip()


class Client:
    """Sends requests as somebody."""

    def __init__(self, http: aiohttp.ClientSession, url: str, fake: FakeKubernetes) -> None:
        self.http, self.url, self.fake = http, url, fake

    async def ask(
        self, method: str, path: str, token: str | None = ADMIN, **kwargs: Any
    ) -> tuple[int, Any, dict[str, str]]:
        headers = kwargs.pop("headers", {})
        if token:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        url = self.url + path
        async with self.http.request(method, url, headers=headers, **kwargs) as answer:
            return answer.status, await answer.json(content_type=None), dict(answer.headers)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A server that holds what the recorded one held."""
    fake = FakeKubernetes()
    fake.create("namespaces", {"metadata": {"name": "demo"}})
    async with serving(fake) as served, aiohttp.ClientSession() as http:
        yield Client(http, served.url, fake)


def example(kind: str) -> tuple[str, dict[str, Any]]:
    """Return the path and the body of one of the sample objects."""
    paths = {
        "dv1": ("/apis/cdi.kubevirt.io/v1beta1/namespaces/demo/datavolumes", "DataVolume", "demo"),
        "bi1": (
            "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/backingimages",
            "BackingImage",
            "longhorn-system",
        ),
        "vmi1": (
            "/apis/harvesterhci.io/v1beta1/namespaces/demo/virtualmachineimages",
            "VirtualMachineImage",
            "demo",
        ),
    }
    path, name, namespace = paths[kind]
    spec: dict[str, Any] = {
        "dv1": {"source": {"upload": {}}},
        "bi1": {"sourceType": "upload", "sourceParameters": {}},
        "vmi1": {"displayName": "img", "sourceType": "upload", "backend": "backingimage"},
    }[kind]
    version = path.removeprefix("/apis/").partition("/namespaces")[0]
    head = {"apiVersion": version, "kind": name}
    return path, {**head, "metadata": {"name": kind, "namespace": namespace}, "spec": spec}


async def test_version(client: Client) -> None:
    """The server says the version that the recorded one said."""
    status, body, _ = await client.ask("GET", "/version")
    assert (status, body) == (200, json.loads(printed("kubectl get --raw /version")))


async def test_created(client: Client) -> None:
    """Each sample is created, and kubectl's words name what came back."""
    words = []
    for name in ("dv1", "bi1", "vmi1"):
        path, body = example(name)
        status, made, _ = await client.ask("POST", path, json=body)
        assert status == 201
        assert made["metadata"]["uid"]
        group = made["apiVersion"].partition("/")[0]
        words.append(f"{made['kind'].lower()}.{group}/{made['metadata']['name']} created")
    assert words == printed("kubectl apply").splitlines()


async def test_listed_in_all_namespaces(client: Client) -> None:
    """Lists over all namespaces have the objects with the columns that kubectl printed."""
    table = printed("kubectl get datavolumes,backingimages")
    for name in ("dv1", "bi1", "vmi1"):
        path, body = example(name)
        await client.ask("POST", path, json=body)
        everywhere = re.sub("/namespaces/[^/]+", "", path)
        status, found, _ = await client.ask("GET", everywhere)
        assert status == 200
        [one] = found["items"]
        [row] = [line for line in table.splitlines() if f"/{name} " in line]
        assert row.split()[0] == one["metadata"]["namespace"]
        assert "status" not in one  # nothing in the columns PHASE, UUID and SIZE


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("vmi1", "a VirtualMachineImage with a sourceType"),
        ("bi1", "a BackingImage with a sourceType"),
    ],
)
async def test_unknown_source_type(client: Client, name: str, command: str) -> None:
    """A value that the schema does not allow is refused: kubectl prints the cause of the Status."""
    path, body = example(name)
    body["spec"]["sourceType"] = "nonsense"
    status, refused, _ = await client.ask("POST", path, json=body)
    [cause] = refused["details"]["causes"]
    kind = refused["details"]["kind"]
    assert status == 422
    assert f'The {kind} "{name}" is invalid: {cause["field"]}: {cause["message"]}' == printed(
        command
    )


async def test_unknown_field(client: Client) -> None:
    """A field that the schema does not have is dropped with a warning, and nothing changes."""
    path, body = example("dv1")
    _, before, _ = await client.ask("POST", path, json=body)
    patch = {"spec": {"nonsense": 1}}
    status, after, headers = await client.ask("PATCH", path + "/dv1", json=patch, headers=MERGE)
    warning, words = printed("an unknown field").splitlines()
    [told] = re.findall(r'^299 - "(.*)"$', headers["Warning"])
    assert f"Warning: {told}".replace("\\", "") == warning
    assert (status, after) == (200, before)
    assert words.endswith("(no change)")


async def test_forbidden(client: Client) -> None:
    """A user without the right gets 403 with the words of the authorizer."""
    rights = Rule(("cdi.kubevirt.io",), ("datavolumes",), ("*",))
    token = client.fake.user("alice", [rights])
    path = "/api/v1/namespaces/demo/persistentvolumeclaims"
    status, refused, _ = await client.ask("GET", path, token)
    words = f"Error from server ({refused['reason']}): {refused['message']}"
    assert (status, words) == (403, printed("kubectl --kubeconfig alice"))


async def test_no_token(client: Client) -> None:
    """Whoever shows no token is anonymous, and forbidden."""
    status, refused, _ = await client.ask("GET", "/api/v1/namespaces", None)
    assert (status, refused) == (403, json.loads(printed("curl -k (no token)")))


async def test_wrong_token(client: Client) -> None:
    """A token that nobody has is unauthorized."""
    status, refused, _ = await client.ask("GET", "/api/v1/namespaces", "wrong")
    assert (status, refused) == (401, json.loads(printed("curl -k with a wrong token")))


async def test_classes_and_claims(client: Client) -> None:
    """Storage classes and claims have the fields of which kubectl makes its columns."""
    table = printed("kubectl get sc,pvc").splitlines()
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    client.fake.create(
        "storageclasses",
        {
            "metadata": {"name": "local", "annotations": default},
            "provisioner": "peers.example/none",
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
        },
    )
    for row in table[4:]:
        name = row.split()[0].partition("/")[2]
        claim = {
            "metadata": {"name": name},
            "spec": {"storageClassName": "local"},
            "status": {"phase": "Pending"},
        }
        path = "/api/v1/namespaces/demo/persistentvolumeclaims"
        _, made, _ = await client.ask("POST", path, json=claim)
        assert "status" not in made  # its own subresource
        await client.ask("PATCH", f"{path}/{name}/status", json=claim, headers=MERGE)
    _, classes, _ = await client.ask("GET", "/apis/storage.k8s.io/v1/storageclasses")
    [one] = classes["items"]
    columns = (one["provisioner"], one["reclaimPolicy"], one["volumeBindingMode"])
    assert tuple(table[1].split()[2:5]) == columns
    _, claims, _ = await client.ask("GET", "/api/v1/namespaces/demo/persistentvolumeclaims")
    rows = [
        [f"persistentvolumeclaim/{one['metadata']['name']}", one["status"]["phase"], "local"]
        for one in claims["items"]
    ]
    assert rows == [row.split()[:3] for row in table[4:]]


def test_every_command_is_replayed() -> None:
    """A command that is added to the transcript needs its test here."""
    replayed = {
        "kubectl get --raw /version": test_version,
        "kubectl apply": test_created,
        "kubectl get datavolumes": test_listed_in_all_namespaces,
        "a VirtualMachineImage": test_unknown_source_type,
        "a BackingImage": test_unknown_source_type,
        "an unknown field": test_unknown_field,
        "kubectl --kubeconfig alice": test_forbidden,
        "curl -k (no token)": test_no_token,
        "curl -k with a wrong": test_wrong_token,
        "kubectl get sc,pvc": test_classes_and_claims,
    }
    left = [name for name in RECORDED if not any(name.startswith(start) for start in replayed)]
    # How many definitions the recorded cluster had says nothing of how it answers.
    assert left == ["kubectl get crd | wc -l"]
