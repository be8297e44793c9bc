"""Which forms are possible, and why others are not."""

from importer.model import Format, Wire
from importer.plan.case import READ, Case


def why_not(case: Case, wire: Wire) -> str | None:
    """Return why *wire* is not possible, None when it is."""
    if (stored := case.stored(wire)) not in case.accepts.stores:
        return f"the storage class cannot store {stored}"
    known = case.subject.virtual_size is not None or case.reach.here or case.reach.spooled
    if not (known or case.on_the_way or (case.accepts.made and wire == "as-is")):
        return "the virtual size is not known before the last byte"
    if wire == "as-is":
        return _why_not_as_is(case)
    if case.subject.format not in READ:
        return f"only qemu reads {case.subject.format}, on the finished file"
    if reason := _why_not_taken(case, wire):
        return reason
    if case.reach.here and case.subject.compression:
        return f"the file is in {case.subject.compression}, which is undone by the service"
    if wire == "qcow2":
        return _why_no_qcow2(case)
    if case.subject.format is Format.QCOW2 and not case.seeks and case.reach.shuffled:
        return f"its data cannot be had in guest order: {case.reach.shuffled}"
    return None


def _why_not_as_is(case: Case) -> str | None:
    kind, accepts = case.subject.format, case.accepts
    if "as-is" not in accepts.wires or kind not in accepts.formats:
        return f"the storage class takes no {kind} file"
    if case.subject.unfit:
        return case.subject.unfit
    if accepts.exact and case.file is None:
        return "how many bytes will come is not known before the last"
    if not (case.fits("as-is") or accepts.converts or case.undone("as-is")):
        return f"the storage class does not make {case.stored('as-is')} of {kind}"
    return None


def _why_not_taken(case: Case, wire: Wire) -> str | None:
    """Return why the target, or the service on its behalf, does not take *wire*."""
    if wire == "raw" and case.reach.here:
        return "a client sends raw+zstd instead, whose zeros do not travel"
    if wire == "raw+zstd" and case.on_the_way and not case.reach.here:
        return "the target is on this machine: raw leaves the zeros out as well"
    expands = case.reach.here and case.on_the_way
    if wire not in case.accepts.wires and not expands:
        return f"the storage class does not take {wire}"
    if expands and not case.fits(wire):
        return f"the image is to be {case.stored(wire)} in the end"
    if not (case.fits(wire) or case.accepts.converts):
        return f"the storage class does not make {case.stored(wire)} of {case.form(wire)}"
    return None


def _why_no_qcow2(case: Case) -> str | None:
    if case.has_map:
        sizes = case.subject.sizes
        return "no qcow2 of ours can be so large" if sizes and "qcow2" not in sizes else None
    if case.subject.compression:
        return f"the file is in {case.subject.compression}: no map before its last byte"
    if case.seeks:
        return "a raw file elsewhere has no map: its zeros show only as it is read"
    return "the source cannot seek: no map before its last byte"
