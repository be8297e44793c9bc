"""labelSelector and fieldSelector."""

import re
from collections.abc import Callable
from typing import Any

from tests.servers.kubernetes.refusals import bad_request
from tests.servers.kubernetes.resources import Resource

Matches = Callable[[dict[str, Any]], bool]

_SET = re.compile(r"^(\S+)\s+(in|notin)\s+\(([^)]*)\)$")
_FIELDS = {
    "events": {
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "reason",
        "type",
    },
    "pods": {"spec.nodeName", "status.phase", "status.podIP"},
}


def selector(resource: Resource, labels: str, fields: str) -> Matches:
    """Return whether an object is selected by both."""
    tests = [_label(term) for term in _terms(labels)]
    tests += [_field(resource, term) for term in _terms(fields)]
    return lambda found: all(test(found) for test in tests)


def _terms(text: str) -> list[str]:
    return [term.strip() for term in re.split(r",(?![^(]*\))", text) if term.strip()]


def _labels(found: dict[str, Any]) -> dict[str, str]:
    return found["metadata"].get("labels") or {}


def _label(term: str) -> Matches:
    if among := _SET.match(term):
        key, how, words = among.groups()
        values = {word.strip() for word in words.split(",")}
        if how == "in":
            return lambda found: _labels(found).get(key) in values
        return lambda found: _labels(found).get(key) not in values
    if "!=" in term:
        key, _, value = term.partition("!=")
        return lambda found: _labels(found).get(key) != value
    if "=" in term:
        key, _, value = term.replace("==", "=").partition("=")
        return lambda found: _labels(found).get(key) == value
    if term.startswith("!"):
        return lambda found: term[1:] not in _labels(found)
    return lambda found: term in _labels(found)


def _field(resource: Resource, term: str) -> Matches:
    wanted = "!=" not in term
    key, _, value = term.replace("!=", "=").replace("==", "=").partition("=")
    known = {"metadata.name", "metadata.namespace"} | _FIELDS.get(resource.plural, set())
    if key not in known:
        raise bad_request(f"field label not supported: {key}")
    return lambda found: (at(found, key) == value) is wanted


def at(found: Any, path: str) -> str:
    """Return the text at a dotted *path*, empty when there is none."""
    for key in path.split("."):
        found = found.get(key, "") if isinstance(found, dict) else ""
    return str(found)
