"""Who calls, what they may, and a record of every call."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.servers.kubernetes import refusals
from tests.servers.kubernetes.resources import Resource


@dataclass(frozen=True)
class Call:
    """One request, in the words of RBAC."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    user: str = field(default="", compare=False)

    @property
    def rule(self) -> tuple[str, str, str]:
        """What a rule must grant: group, resource (with its subresource), verb."""
        whole = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return self.group, whole, self.verb

    def __str__(self) -> str:
        group, resource, verb = self.rule
        where = f" {self.namespace}" if self.namespace else ""
        return f"{verb} {resource}{'.' if group else ''}{group}{where} {self.name}".rstrip()


@dataclass(frozen=True)
class Rule:
    """One rule of a Role (`namespace` named) or a ClusterRole."""

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    """With their subresource: ``datavolumes/status``."""

    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    namespace: str = ""

    @classmethod
    def of(cls, rule: dict[str, Any], namespace: str = "") -> "Rule":
        """Return a rule as it stands in a manifest."""
        return cls(
            tuple(rule.get("apiGroups", ())),
            tuple(rule.get("resources", ())),
            tuple(rule.get("verbs", ())),
            tuple(rule.get("resourceNames", ())),
            namespace,
        )

    def allows(self, call: Call) -> bool:
        """Whether *call* is granted."""
        group, resource, verb = call.rule
        return (
            self.namespace in ("", call.namespace)
            and (group in self.groups or "*" in self.groups)
            and (resource in self.resources or "*" in self.resources)
            and (verb in self.verbs or "*" in self.verbs)
            and (not self.names or call.name in self.names)
        )


@dataclass
class User:
    """Somebody with a token."""

    name: str
    rules: list[Rule] | None = None
    """None: may do everything."""

    groups: tuple[str, ...] = ("system:authenticated",)

    def may(self, call: Call) -> bool:
        """Whether a rule grants *call*."""
        return self.rules is None or any(rule.allows(call) for rule in self.rules)


ANONYMOUS = User("system:anonymous", [], ("system:unauthenticated",))


def check(user: User, call: Call, resource: Resource) -> None:
    """Refuse what *user* may not."""
    if not user.may(call):
        raise refusals.forbidden(
            user.name, call.verb, resource, call.namespace, call.name, call.subresource
        )


def used(calls: Iterable[Call]) -> set[tuple[str, str, str]]:
    """Return the (group, resource, verb) that *calls* needed."""
    return {call.rule for call in calls}


def granted(rules: Iterable[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Return the (group, resource, verb) that the rules of a manifest grant, to compare `used`."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for verb in rule.get("verbs", ())
    }
