"""The manifests for a cluster: what Kubernetes would say, and what must hold of them."""

import copy
import ipaddress
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from importer import config
from importer.sources.guard import is_public
from tests.deploy.kustomize import (
    COMPONENTS,
    OVERLAYS,
    ROOT,
    Object,
    build,
    containers,
    documents,
    of_kind,
    overlay,
)
from tests.deploy.schema import problems

PROJECT = ROOT.parents[1]
FOLDERS = [ROOT / "base", *(ROOT / "overlays" / name for name in OVERLAYS), *COMPONENTS]
METADATA = ["169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"]
"""Where clouds hand out credentials: most, Alibaba, Oracle, Azure's agent, AWS over IPv6."""

PRIVATE = [
    "10.53.0.1",
    "172.16.3.4",
    "192.168.1.1",
    "100.64.0.1",
    "127.0.0.1",
    "fc00::1",
    "fe80::1",
]


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    """What an overlay makes."""
    return overlay(request.param)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_object_is_what_kubernetes_takes(folder: Path) -> None:
    """No object has an unknown field or a wrong type, or lacks what it must have."""
    assert [wrong for one in build(folder) for wrong in problems(one)] == []


def test_every_file_is_used() -> None:
    """A manifest that no kustomization names would be applied by nobody."""
    for folder in set(FOLDERS) - set(COMPONENTS):
        (spec,) = documents((folder / "kustomization.yaml").read_text())
        named = {name for name in spec["resources"] if name.endswith(".yaml")}
        assert named | {"kustomization.yaml"} == {file.name for file in folder.glob("*.yaml")}


def keys(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every key in *value*."""
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ([(*at, key)] if isinstance(value, dict) else [])
            yield from keys(one, (*at, key))


FREE = {"labels", "matchLabels", "data", "requests", "limits"}
"""Below these any name is right."""


def test_a_typo_in_any_field_is_found() -> None:
    """Whichever field is misspelt, the check says so."""
    for one in build(ROOT / "overlays" / "harvester"):
        for way in keys(one):
            if FREE & set(way[:-1]) or way[:-1] == ("spec", "selector"):
                continue
            broken = copy.deepcopy(one)
            at = broken
            for key in way[:-1]:
                at = at[key]
            at[f"{way[-1]}x"] = at.pop(way[-1])
            assert problems(broken), f"{one['kind']}: {way}"


@pytest.mark.parametrize("name", OVERLAYS)
def test_kubectl_makes_the_same(name: str) -> None:
    """What is checked here is what `kubectl apply -k` would apply, but for the hash in a name."""
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl")
    command = ["kubectl", "kustomize", str(ROOT / "overlays" / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    made = documents(done.stdout)
    (hashed,) = (one["metadata"]["name"] for one in made if one["kind"] == "ConfigMap")
    plain = documents(done.stdout.replace(hashed, "image-importer"))
    assert sorted(map(repr_of, plain)) == sorted(map(repr_of, overlay(name)))


def repr_of(value: Any) -> str:
    """Return *value* with its keys in order."""
    if isinstance(value, dict):
        return str({key: repr_of(value[key]) for key in sorted(value)})
    return str([repr_of(one) for one in value]) if isinstance(value, list) else repr(value)


def test_references_lead_to_objects(objects: list[Object]) -> None:
    """Every account, claim, ConfigMap, Secret, role and port that is named is there."""
    pod = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    of_kind(objects, "ServiceAccount", pod["serviceAccountName"])
    sources = {one["name"]: one for one in pod["volumes"]}
    of_kind(objects, "PersistentVolumeClaim", sources["data"]["persistentVolumeClaim"]["claimName"])
    of_kind(objects, "ConfigMap", sources["config"]["configMap"]["name"])
    (container,) = containers(objects)
    assert {one["name"] for one in container["volumeMounts"]} == sources.keys()
    for one in container["env"]:
        if "valueFrom" in one:
            of_kind(objects, "Secret", one["valueFrom"]["secretKeyRef"]["name"])
    roles = {(one["kind"], one["metadata"].get("namespace")) for one in objects}
    for one in objects:
        if one["kind"].endswith("Binding"):
            assert (one["roleRef"]["kind"], one["metadata"].get("namespace")) in roles


def test_labels_find_the_pod(objects: list[Object]) -> None:
    """Deployment, Service, ServiceMonitor and NetworkPolicies select our pod, or our Service."""
    pod = of_kind(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    service = of_kind(objects, "Service")
    assert of_kind(objects, "Deployment")["spec"]["selector"]["matchLabels"].items() <= pod.items()
    assert service["spec"]["selector"].items() <= pod.items()
    for policy in (one for one in objects if one["kind"] == "NetworkPolicy"):
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod.items()
    monitor = of_kind(objects, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    ports = [one["name"] for one in service["spec"]["ports"]]
    assert [one["port"] for one in monitor["endpoints"]] == ports


def test_settings_and_variables_are_ours(objects: list[Object]) -> None:
    """The service takes the file as it stands, every variable is a setting, and it is reachable."""
    text = of_kind(objects, "ConfigMap")["data"]["importer.toml"]
    loaded = config.apply(config.Config(), tomllib.loads(text))
    (container,) = containers(objects)
    known = {config.variable(section, name) for section, name, _ in config.settings()}
    assert {one["name"] for one in container["env"]} <= known
    mounts = {one["mountPath"] for one in container["volumeMounts"]}
    assert loaded.service.data in mounts
    host, _, port = loaded.service.listen.rpartition(":")
    assert (host, int(port)) == ("0.0.0.0", container["ports"][0]["containerPort"])
    assert loaded.kubernetes.enabled
    grace = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    assert grace["terminationGracePeriodSeconds"] > loaded.service.grace


def test_urls_and_policy_allow_the_same_ports(objects: list[Object]) -> None:
    """What the network would swallow in silence, the service refuses with a message."""
    text = of_kind(objects, "ConfigMap")["data"]["importer.toml"]
    ports = {port for rule in to_public(objects) for port in ports_of(rule)}
    assert set(tomllib.loads(text)["url"]["ports"]) == ports


def test_pod_has_no_rights_on_its_node(objects: list[Object]) -> None:
    """It is no root, gains nothing, writes to its volumes only, and its memory has an end."""
    pod = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(objects):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert not any("hostPath" in one for one in pod["volumes"])


def test_only_one_serves(objects: list[Object]) -> None:
    """Two pods never share the store, not even for a moment while one replaces the other."""
    spec = of_kind(objects, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")


def test_no_token_is_in_the_manifests(objects: list[Object]) -> None:
    """Nobody runs with a token that stands in a public repository."""
    assert not {"data", "stringData"} & of_kind(objects, "Secret").keys()


def test_version_is_the_projects(objects: list[Object]) -> None:
    """What is deployed is what was built from here."""
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert [one["image"] for one in containers(objects)] == [f"image-importer:{version}"]


# --- the network


def egress(objects: list[Object]) -> list[Object]:
    """Return the rules of all policies of the pod."""
    policies = (one for one in objects if one["kind"] == "NetworkPolicy")
    return [rule for policy in policies for rule in policy["spec"].get("egress", [])]


def ports_of(rule: Object) -> set[int]:
    return {one["port"] for one in rule["ports"]}


def reaches(rule: Object, address: str) -> bool:
    """Whether *rule* has a block with *address* in it."""
    ip = ipaddress.ip_address(address)
    blocks = [one["ipBlock"] for one in rule["to"] if "ipBlock" in one]
    return any(
        within(ip, block["cidr"]) and not any(within(ip, out) for out in block.get("except", []))
        for block in blocks
    )


def within(ip: Any, cidr: str) -> bool:
    return ip in ipaddress.ip_network(cidr)  # another version is never in it


def to_public(objects: list[Object]) -> list[Object]:
    return [
        rule
        for rule in egress(objects)
        if reaches(rule, "151.101.0.1") and 6443 not in ports_of(rule)
    ]


def test_exceptions_lie_in_their_blocks(objects: list[Object]) -> None:
    """The API server refuses a policy whose exception is not inside of its block."""
    for rule in egress(objects):
        for block in (one["ipBlock"] for one in rule["to"] if "ipBlock" in one):
            outer: Any = ipaddress.ip_network(block["cidr"])
            assert all(
                ipaddress.ip_network(one).subnet_of(outer) for one in block.get("except", [])
            )


@pytest.mark.parametrize("address", ["151.101.0.1", "2a04:4e42::644"])
def test_public_addresses_are_reached(objects: list[Object], address: str) -> None:
    """An image is fetched from the internet, over http and https."""
    assert {port for one in egress(objects) if reaches(one, address) for port in ports_of(one)} >= {
        80,
        443,
    }


@pytest.mark.parametrize("address", [*METADATA, *PRIVATE])
def test_metadata_and_private_addresses_are_not(objects: list[Object], address: str) -> None:
    """Whatever URL is given, the pod gets to no metadata service and to nothing inside."""
    reached = {port for one in egress(objects) if reaches(one, address) for port in ports_of(one)}
    assert not reached & {80, 443}


def test_policy_and_guard_agree() -> None:
    """At every edge of every block that is left out, the policy reaches what [url] allows."""
    (rule,) = to_public(overlay("harvester"))
    for block in (one["ipBlock"] for one in rule["to"]):
        for cidr in block["except"]:
            for address in edges(cidr):
                allowed = is_public(address) and address not in SIX_TO_FOUR
                assert reaches(rule, str(address)) == allowed, address


SIX_TO_FOUR = ipaddress.ip_network("2002::/16")
"""[url] looks at the IPv4 address inside, which a policy cannot."""


def edges(cidr: str) -> list[Any]:
    """Return the first and the last address of a block, and its neighbours of the same version."""
    network = ipaddress.ip_network(cidr)
    inner = [network[0], network[-1]]
    outer = [int(network[0]) - 1, int(network[-1]) + 1]
    kind: Any = type(network[0])
    return inner + [kind(number) for number in outer if 0 <= number < 1 << network.max_prefixlen]


@pytest.mark.parametrize(
    ("space", "app", "port"),
    [
        ("longhorn-system", {"app": "longhorn-manager"}, 9500),
        (None, {"cdi.kubevirt.io": "cdi-uploadproxy"}, 8443),
    ],
)
def test_targets_are_reached(
    objects: list[Object], space: str | None, app: dict[str, str], port: int
) -> None:
    """The pods that take the bytes are reached at the ports of their containers."""
    (rule,) = (one for one in egress(objects) if ports_of(one) == {port})
    (to,) = rule["to"]
    assert to["podSelector"]["matchLabels"] == app
    named = to["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert space in (None, named)


@pytest.mark.parametrize(
    ("name", "space"), [("harvester", "harvester-system"), ("kubevirt-longhorn", "cdi")]
)
def test_cdi_is_where_the_overlay_says(name: str, space: str) -> None:
    """Harvester has CDI in its own namespace, everybody else in CDI's."""
    (rule,) = (one for one in egress(overlay(name)) if ports_of(one) == {8443})
    (to,) = rule["to"]
    assert to["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == space
    values = {one["name"]: one.get("value") for one in next(containers(overlay(name)))["env"]}
    assert values["IMPORTER_CDI_NAMESPACE"] == space
    assert values["IMPORTER_CDI_URL"] == f"https://cdi-uploadproxy.{space}.svc"
    roles = [one["metadata"].get("namespace") for one in overlay(name) if one["kind"] == "Role"]
    assert sorted(roles) == sorted(["longhorn-system", space])
