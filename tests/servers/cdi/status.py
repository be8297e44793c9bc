"""The status that CDI's controller gives a DataVolume, from what its claims say. No I/O.

CDI: pkg/controller/datavolume/{controller-base,upload-controller,conditions}.go.
"""

from typing import Any

from tests.servers.cdi.objects import BOUND, RESTARTS, RUNNING
from tests.servers.cdi.upload_proxy import POD_PHASE, POD_READY, PRIME, annotations
from tests.servers.kubernetes import Object

Event = tuple[str, str, str]
"""Type, reason and message."""

WORDS: dict[str, Event] = {
    "UploadScheduled": ("Normal", "UploadScheduled", "Upload into {} scheduled"),
    "UploadReady": ("Normal", "UploadReady", "Upload into {} ready"),
    "Succeeded": ("Normal", "UploadSucceeded", "Successfully uploaded into {}"),
    "Failed": ("Warning", "ErrClaimLost", "PVC {} lost"),
}


def phase(before: str, claim: Object | None, prime: Object | None, waits: bool) -> str:
    """Return the phase that follows *before*; *waits*: the claim waits for a consumer.

    ``Succeeded`` comes with the pod's success, when the claim may still be unbound. A failed
    pod is ``UploadScheduled``.
    """
    if claim is None:
        return before or "Pending"
    told, bound = annotations(claim), claim["status"]["phase"]
    if told.get(POD_PHASE) == "Succeeded" or bound == "Bound":
        return "Succeeded"
    if bound == "Lost":
        return "Failed"
    if waits:
        return "PendingPopulation"
    if prime is None or prime["status"]["phase"] != "Bound":
        return before
    ready = told.get(POD_PHASE) == "Running" and told.get(POD_READY) == "true"
    return "UploadReady" if ready else "UploadScheduled"


def status(
    before: Object, claim: Object | None, prime: Object | None, waits: bool, now: str
) -> Object:
    """Return the whole status that follows *before*."""
    following = phase(before.get("phase", ""), claim, prime, waits)
    told: Object = {"phase": following, "progress": "N/A"}
    told["conditions"] = conditions(following, claim, ("NotFound", "No PVC found"), now)
    if claim is not None:
        told["claimName"] = claim["metadata"]["name"]
        restarts = annotations(claim).get(RESTARTS)
        told |= {"restartCount": int(restarts)} if restarts else {}
    return told


def conditions(
    phase: str, claim: Object | None, missing: tuple[str, str], now: str
) -> list[Object]:
    """Return Bound, Ready and Running; *missing* is why there is no claim."""
    marks = annotations(claim) if claim else {}
    reason, message = missing
    bound, running = ("False", reason, message), _running(marks)
    if claim is not None:
        bound, reason, message = _bound(claim, marks), "", ""
    ready = ("True" if phase == "Succeeded" else "False", reason, message)
    if running[0] == "True":
        ready = ("False", "TransferRunning", "")
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    named = {"Bound": bound, "Ready": ready, "Running": running}
    return [
        {"type": kind, "status": told[0], "reason": told[1], "message": told[2], **times}
        for kind, told in named.items()
    ]


def _running(marks: Any) -> tuple[str, str, str]:
    status = "True" if marks.get(RUNNING) == "true" else "False"
    return status, marks.get(f"{RUNNING}.reason", ""), marks.get(f"{RUNNING}.message", "")


def _bound(claim: Object, marks: Any) -> tuple[str, str, str]:
    name, bound = claim["metadata"]["name"], claim["status"]["phase"]
    if bound == "Bound":
        return "True", "Bound", f"PVC {name} Bound"
    if bound == "Lost":
        return "False", "ClaimLost", "Claim Lost"
    if BOUND not in marks:
        return "False", "Pending", f"PVC {name} Pending"
    prime = f"[{marks[PRIME]}] : " if PRIME in marks else ""
    why = f"target PVC {name} Pending and {prime}{marks[f'{BOUND}.message']}"
    return "False", marks[f"{BOUND}.reason"], why


def events(name: str, before: Object, after: Object) -> list[Event]:
    """Return the events that tell of a change of status."""
    told: list[Event] = []
    if before.get("phase") != after["phase"] and after["phase"] in WORDS:
        kind, reason, message = WORDS[after["phase"]]
        told.append((kind, reason, message.format(name)))
    was, now = _by_type(before), _by_type(after)
    if was.get("Bound") != now["Bound"]:
        told.append(("Normal", *now["Bound"][1:]))
    idle = now["Ready"][0] == now["Running"][0] == "False"
    _, reason, message = now["Running"]
    if idle and message and was.get("Running", ("", "", ""))[2] != message:
        told.append(("Warning", reason, message))
    return told


def _by_type(status: Object) -> dict[str, tuple[str, str, str]]:
    return {
        one["type"]: (one["status"], one["reason"], one["message"])
        for one in status.get("conditions") or []
    }
