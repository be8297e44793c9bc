"""Whether Kubernetes would take an object as it stands: no unknown field, no wrong type.

Fields, types and what must be there of Kubernetes' own kinds are those of the models in
kubernetes_asyncio, which are generated from its OpenAPI schema. Kinds of others stand in `OTHERS`,
each only as far as it is used here.
"""

import re
from typing import Any

from kubernetes_asyncio.client import Configuration, models

OTHERS: dict[str, dict[str, str]] = {
    # Prometheus operator, api.md, monitoring.coreos.com/v1.
    "ServiceMonitor": {
        "apiVersion": "str",
        "kind": "str",
        "metadata": "V1ObjectMeta",
        "spec": "ServiceMonitorSpec",
    },
    "ServiceMonitorSpec": {"selector": "V1LabelSelector", "endpoints": "list[Endpoint]"},
    "Endpoint": {
        "port": "str",
        "path": "str",
        "interval": "str",
        "authorization": "SafeAuthorization",
    },
    "SafeAuthorization": {"type": "str", "credentials": "V1SecretKeySelector"},
    "PrometheusRule": {
        "apiVersion": "str",
        "kind": "str",
        "metadata": "V1ObjectMeta",
        "spec": "PrometheusRuleSpec",
    },
    "PrometheusRuleSpec": {"groups": "list[RuleGroup]"},
    "RuleGroup": {"name": "str", "interval": "str", "rules": "list[Rule]"},
    "Rule": {
        "record": "str",
        "alert": "str",
        "expr": "str",
        "for": "str",
        "labels": "dict[str, str]",
        "annotations": "dict[str, str]",
    },
    # KubeVirt, api/openapi-spec, kubevirt.io/v1.
    "VirtualMachine": {
        "apiVersion": "str",
        "kind": "str",
        "metadata": "V1ObjectMeta",
        "spec": "VirtualMachineSpec",
    },
    "VirtualMachineSpec": {
        "runStrategy": "str",
        "template": "VirtualMachineInstanceTemplateSpec",
        "dataVolumeTemplates": "list[DataVolumeTemplateSpec]",
    },
    "VirtualMachineInstanceTemplateSpec": {
        "metadata": "V1ObjectMeta",
        "spec": "VirtualMachineInstanceSpec",
    },
    "VirtualMachineInstanceSpec": {
        "domain": "DomainSpec",
        "networks": "list[Network]",
        "volumes": "list[Volume]",
    },
    "DomainSpec": {"cpu": "CPU", "memory": "Memory", "devices": "Devices"},
    "CPU": {"cores": "int"},
    "Memory": {"guest": "str"},
    "Devices": {"disks": "list[Disk]", "interfaces": "list[Interface]"},
    "Disk": {"name": "str", "bootOrder": "int", "disk": "DiskTarget"},
    "DiskTarget": {"bus": "str"},
    "Interface": {"name": "str", "masquerade": "object"},
    "Network": {"name": "str", "pod": "object"},
    "Volume": {
        "name": "str",
        "persistentVolumeClaim": "V1PersistentVolumeClaimVolumeSource",
        "dataVolume": "DataVolumeSourceName",
    },
    "DataVolumeSourceName": {"name": "str"},
    # CDI, api-ref, cdi.kubevirt.io/v1beta1.
    "DataVolume": {
        "apiVersion": "str",
        "kind": "str",
        "metadata": "V1ObjectMeta",
        "spec": "DataVolumeSpec",
    },
    "DataVolumeTemplateSpec": {"metadata": "V1ObjectMeta", "spec": "DataVolumeSpec"},
    "DataVolumeSpec": {"source": "DataVolumeSource", "storage": "StorageSpec"},
    "DataVolumeSource": {"pvc": "DataVolumeSourcePVC"},
    "DataVolumeSourcePVC": {"namespace": "str", "name": "str"},
    "StorageSpec": {
        "storageClassName": "str",
        "accessModes": "list[str]",
        "volumeMode": "str",
        "resources": "V1VolumeResourceRequirements",
    },
}

GROUPS = {
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "VirtualMachine": "kubevirt.io/v1",
    "DataVolume": "cdi.kubevirt.io/v1beta1",
    "Namespace": "v1",
    "ServiceAccount": "v1",
    "Secret": "v1",
    "ConfigMap": "v1",
    "Service": "v1",
    "PersistentVolumeClaim": "v1",
    "Deployment": "apps/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "StorageClass": "storage.k8s.io/v1",
}
"""The version of each kind: the models do not say which group they are of."""

_PLAIN: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
}
_LIST = re.compile(r"list\[(.+)\]")
_DICT = re.compile(r"dict[(\[]str, (.+)[)\]]")


def problems(found: dict[str, Any]) -> list[str]:
    """Return what is wrong with an object, each with its place in it."""
    kind = found.get("kind")
    if kind not in GROUPS:
        return [f"kind {kind} is not known here"]
    if found.get("apiVersion") != GROUPS[kind]:
        return [f"{kind} is of {GROUPS[kind]}, not of {found.get('apiVersion')}"]
    return _typed(kind if kind in OTHERS else f"V1{kind}", found, kind)


def _typed(wanted: str, value: Any, at: str) -> list[str]:
    """Return what is wrong with *value*, which should be of type *wanted*."""
    if wanted == "object":  # IntOrString, or no type at all
        return []
    if wanted in _PLAIN:
        is_right = isinstance(value, _PLAIN[wanted]) and isinstance(value, bool) == (
            wanted == "bool"
        )
        return [] if is_right else [f"{at}: {value!r} is no {wanted}"]
    if match := _LIST.fullmatch(wanted):
        return _each(match[1], value, at, list)
    if match := _DICT.fullmatch(wanted):
        return _each(match[1], value, at, dict)
    return _object(wanted, value, at)


def _each(wanted: str, value: Any, at: str, kind: type) -> list[str]:
    if not isinstance(value, kind):
        return [f"{at}: {value!r} is no {kind.__name__}"]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [wrong for key, one in items for wrong in _typed(wanted, one, f"{at}[{key}]")]


def _object(wanted: str, value: Any, at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: {value!r} is no {wanted}"]
    fields = _fields(wanted)
    wrong = [f"{at}.{name} is not known" for name in value if name not in fields]
    for name in value.keys() & fields.keys():
        wrong += _typed(fields[name][1], value[name], f"{at}.{name}")
    return wrong + _missing(wanted, value, at)


def _fields(wanted: str) -> dict[str, tuple[str, str]]:
    """Return attribute and type of each field of a kind, by its name in JSON."""
    if wanted in OTHERS:
        return {name: (name, kind) for name, kind in OTHERS[wanted].items()}
    model = getattr(models, wanted)
    return {
        name: (attribute, model.openapi_types[attribute])
        for attribute, name in model.attribute_map.items()
    }


def _missing(wanted: str, value: dict[str, Any], at: str) -> list[str]:
    """Return what the model's own validation says: a field that must be there, a value not allowed.

    Of the kinds of others nothing is known.
    """
    if wanted in OTHERS:
        return []
    given = {
        _fields(wanted)[name][0]: one for name, one in value.items() if name in _fields(wanted)
    }
    try:
        getattr(models, wanted)(**given, local_vars_configuration=Configuration())
    except ValueError as exc:
        return [f"{at}: {exc}"]
    return []
