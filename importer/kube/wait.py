"""Waiting for an object: every change is looked at, and its end is noticed."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from importer.errors import ObjectGone, TargetTimeout
from importer.kube.cluster import Cluster, Object
from importer.kube.resources import Resource
from importer.kube.watch import watch

T = TypeVar("T")

Condition = Callable[[Object], T | None]
"""Called with the object as it is and after every change. Returns None to wait on; what it raises
ends the wait."""


async def follow(
    cluster: Cluster, resource: Resource, namespace: str, name: str, uid: str = ""
) -> AsyncGenerator[Object | None, None]:
    """Yield one object as it is and after every change; None while there is none.

    *uid*: another object of the same name is none.
    """
    last: Object | None = {}
    selector = f"metadata.name={name}"
    async with aclosing(watch(cluster, resource, namespace, fields=selector)) as states:
        async for objects in states:
            found = objects.get((namespace, name))
            if found and uid and found["metadata"]["uid"] != uid:
                found = None
            if found != last:
                yield found
            last = found


async def wait_for(
    cluster: Cluster,
    resource: Resource,
    namespace: str,
    name: str,
    condition: Condition[T],
    timeout: float,
    *,
    uid: str = "",
    what: str = "",
) -> T:
    """Return what *condition* returns of the object once that is something.

    *timeout*: seconds. *what*: what is waited for, for the message. Two requests, however often
    the object changes. Raises ObjectGone when there is no such object (any more), TargetTimeout
    with the last state.
    """
    last: Object = {}
    shown = f"{resource.kind} {f'{namespace}/{name}'.strip('/')}"
    try:
        async with (
            asyncio.timeout(timeout),
            aclosing(follow(cluster, resource, namespace, name, uid)) as states,
        ):
            async for found in states:
                if found is None:
                    raise ObjectGone(f"{shown} is gone: somebody deleted it")
                last = found
                done = condition(found)
                if done is not None:
                    return done
    except TimeoutError as exc:
        raise TargetTimeout(f"{shown}: waited {timeout:g} s {what}".rstrip(), last) from exc
    raise AssertionError("a watch ends only by raising")


async def wait_gone(
    cluster: Cluster, resource: Resource, namespace: str, name: str, timeout: float, uid: str = ""
) -> None:
    """Return once there is no such object. Raises TargetTimeout, naming the finalizers left."""
    last: Object = {}
    try:
        async with (
            asyncio.timeout(timeout),
            aclosing(follow(cluster, resource, namespace, name, uid)) as states,
        ):
            async for found in states:
                if found is None:
                    return
                last = found
    except TimeoutError as exc:
        held = ", ".join(last.get("metadata", {}).get("finalizers") or ["nothing known"])
        shown = f"{resource.kind} {f'{namespace}/{name}'.strip('/')}"
        text = f"{shown}: waited {timeout:g} s for it to go; held by {held}"
        raise TargetTimeout(text, last) from exc
