"""A Kubernetes API server for tests: start at `api.FakeKubernetes`; `server.serving` serves it."""

from tests.servers.kubernetes.access import Call, Rule, User, granted, used
from tests.servers.kubernetes.api import ADMIN, FakeKubernetes
from tests.servers.kubernetes.faults import Fault
from tests.servers.kubernetes.refusals import Refused, denied
from tests.servers.kubernetes.resources import Resource
from tests.servers.kubernetes.server import Cluster, serving
from tests.servers.kubernetes.store import Change, Object

__all__ = [
    "ADMIN",
    "Call",
    "Change",
    "Cluster",
    "FakeKubernetes",
    "Fault",
    "Object",
    "Refused",
    "Resource",
    "Rule",
    "User",
    "denied",
    "granted",
    "serving",
    "used",
]
