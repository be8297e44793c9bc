"""One test for each way in which a copy can go: what is exported equals what was told, exactly."""

from dataclasses import replace

import pytest

from importer.copies.seen import ClassFact
from tests.copies.stage import CEPH, EVERY, LVM, V2, GiB, Stage
from tests.servers.cdi.scripted import Clone, Import
from tests.servers.longhorn.scripted import Cloned, volume

NOTHING = (0.0, 0.0)


def clone(
    there: Stage,
    of: ClassFact = V2,
    kind: str = "csi-clone",
    size: int = 10 * GiB,
    why: str = "",
) -> Clone:
    """Make a DataVolume that is a clone; nothing is copied yet."""
    one = Clone(there.kubernetes, "vm-1", of.name, size, kind=kind, fallback=why)
    one.begin()
    return one


async def deep(there: Stage, actual: int = 3 * GiB) -> tuple[Clone, Cloned]:
    """Let CDI ask Longhorn for a copy of a volume of 10 GiB that takes *actual*; it has begun."""
    source = there.golden(V2, 10 * GiB, actual)
    one = clone(there)
    one.phase("CSIClone")
    two = Cloned(there.kubernetes, one.provision(), source, 10 * GiB)
    two.begin()
    await there.look()
    return one, two


async def test_host_assisted(there: Stage) -> None:
    """Bytes are the source's size, zeros too; the percentage is a hint while it runs."""
    there.golden(CEPH, 8 * GiB)
    why = "The volume modes of source and target are incompatible"
    one = clone(there, CEPH, "copy", 10 * GiB, why)
    await there.look()
    assert there.copies.running() == []  # it waits for its pods
    there.clock.advance(5)
    one.phase("HostClone")
    await there.look()
    there.clock.advance(10)
    one.phase("HostClone", "25.50%")
    await there.look()
    running = there.only()
    assert (running.done, running.total) == (8 * GiB * 2550 // 10000, 8 * GiB)
    assert running.is_hint
    assert running.basis == "inferred"
    assert running.source == "PersistentVolumeClaim default/golden"
    assert running.why == why
    assert there.live(CEPH, "host-assisted") == (1.0, running.total - running.done, 0.0)
    assert there.counted(CEPH, "host-assisted") == NOTHING
    there.clock.advance(54)
    one.succeed()
    await there.look()
    assert there.counted(CEPH, "host-assisted") == (8 * GiB, 64.0)
    assert there.ended(CEPH, "host-assisted") == {("done", ""): 1}
    assert there.live(CEPH, "host-assisted") == (0.0, 0.0, 0.0)
    done = there.last()
    assert (done.state, done.seconds, done.is_hint) == ("Done", 64.0, False)
    assert done.bytes_per_second == 8 * GiB / 64


async def test_csi_clone_without_progress(there: Stage) -> None:
    """Nobody tells how far it is; at the end all of it is counted."""
    there.golden(CEPH, 8 * GiB)
    one = clone(there, CEPH)
    one.phase("CSIClone")
    await there.look()
    running = there.only()
    assert (running.done, running.total, running.is_hint) == (0, 8 * GiB, True)
    there.clock.advance(30)
    one.phase("Rebind", "")
    await there.look()
    there.clock.advance(2)
    one.succeed()
    await there.look()
    assert there.counted(CEPH, "csi-clone") == (8 * GiB, 32.0)
    assert there.ended(CEPH, "csi-clone") == {("done", ""): 1}


async def test_deep_copy_for_cdi_is_one_copy(there: Stage) -> None:
    """CDI's clone has Longhorn's percentage and bytes, and is over when Longhorn has copied."""
    one, two = await deep(there)
    assert [copy.strategy for copy in there.copies.running()] == ["csi-clone"]
    there.clock.advance(3)
    one.bind(two.name)
    two.initiate()
    await there.look()
    there.clock.advance(7)
    two.progress(33)
    await there.look()
    running = there.only()
    assert (running.done, running.total) == (3 * GiB * 33 // 100, 3 * GiB)
    assert (running.namespace, running.name) == ("default", "vm-1")
    assert running.phase == "Longhorn copies"
    one.unbind()  # nothing says now whose the volume is
    await there.look()
    assert there.only().uid == running.uid
    there.clock.advance(10)
    one.rebind(two.name)
    one.succeed()
    two.progress(90)
    await there.look()
    assert there.only().done == 3 * GiB * 90 // 100  # CDI is done, Longhorn is not
    there.clock.advance(5)
    two.copied()
    await there.look()
    assert there.counted(V2, "csi-clone") == (3 * GiB, 25.0)
    assert there.counted(V2, "full-copy") == NOTHING
    assert there.ended(V2, "csi-clone") == {("done", ""): 1}


async def test_replicas_are_made_after_the_copy(there: Stage) -> None:
    """A copy is over when its bytes are there; what Longhorn does then is a phase of its own."""
    _, two = await deep(there)
    there.clock.advance(1)
    two.initiate()
    await there.look()
    there.clock.advance(20)
    two.copied()
    await there.look()
    assert there.last().state == "Done"
    assert there.last().phase == "Longhorn makes the other replicas"
    there.clock.advance(600)
    two.complete()
    await there.look()
    assert there.last().phase is None
    assert there.counted(V2, "csi-clone") == (3 * GiB, 21.0)
    assert there.copies.running() == []


async def test_longhorn_alone(there: Stage) -> None:
    """A clone that CDI has no part in is one of its own, without a claim too."""
    volume(there.kubernetes, "golden", 10 * GiB, 4 * GiB)
    one = Cloned(there.kubernetes, "restored", "golden", 10 * GiB)
    one.begin()
    one.initiate()
    await there.look()
    there.clock.advance(10)
    one.progress(50)
    await there.look()
    running = there.only()
    assert (running.strategy, running.done, running.total) == ("full-copy", 2 * GiB, 4 * GiB)
    assert (running.storage_class, running.engine) == ("(unknown)", "longhorn-v2")
    assert running.source == "Volume golden"
    there.clock.advance(10)
    one.copied()
    await there.look()
    of = replace(V2, name="(unknown)", backend="(unknown)")
    assert there.counted(of, "full-copy") == (4 * GiB, 20.0)


async def test_linked_clone_copies_nothing(there: Stage) -> None:
    """It is counted, with its seconds, and no bytes."""
    source = there.golden(V2, 10 * GiB, 3 * GiB)
    one = clone(there)
    one.phase("CSIClone")
    two = Cloned(there.kubernetes, one.provision(), source, 10 * GiB, mode="linked-clone")
    two.begin()
    two.initiate()
    await there.look()
    there.clock.advance(2)
    two.copied()
    await there.look()
    assert there.counted(V2, "linked-clone") == (0.0, 2.0)
    assert there.ended(V2, "linked-clone") == {("done", ""): 1}
    assert there.counted(V2, "csi-clone") == NOTHING


async def test_longhorn_fails_and_tries_again(there: Stage) -> None:
    """Each try is a copy: the failed one counts what it did, the next one all of it."""
    one, two = await deep(there)
    there.clock.advance(2)
    two.initiate(attempt=1)
    await there.look()
    there.clock.advance(10)
    two.progress(50)
    await there.look()
    there.clock.advance(8)
    two.fail("replica tcp://10.0.0.1:20001 is gone")
    await there.look()
    assert there.ended(V2, "csi-clone") == {("failed", "volume-failed"): 1}
    assert there.counted(V2, "csi-clone") == (3 * GiB // 2, 20.0)
    failed = there.last()
    assert (failed.state, failed.reason, failed.is_hint) == ("Failed", "volume-failed", True)
    assert failed.error == "replica tcp://10.0.0.1:20001 is gone"
    there.clock.advance(30)
    two.initiate(attempt=2)
    await there.look()
    assert there.only().uid == f"{one.uid}/2"
    there.clock.advance(40)
    two.copied()
    await there.look()
    assert there.counted(V2, "csi-clone") == (3 * GiB // 2 + 3 * GiB, 60.0)
    assert there.ended(V2, "csi-clone") == {("failed", "volume-failed"): 1, ("done", ""): 1}


async def test_try_that_nobody_saw_fail(there: Stage) -> None:
    """Two looks may have a failure and the next try between them; both are counted."""
    _, two = await deep(there)
    two.initiate(attempt=1)
    await there.look()
    there.clock.advance(10)
    two.initiate(attempt=2)
    await there.look()
    assert there.ended(V2, "csi-clone") == {("failed", "volume-failed"): 1}
    assert len(there.copies.running()) == 1


async def test_error_that_passes_is_none(there: Stage) -> None:
    """CDI says Error of an update that another's was faster than: that is no failure."""
    there.golden(CEPH, 8 * GiB)
    one = clone(there, CEPH, "copy")
    one.phase("HostClone", "10.00%")
    await there.look()
    there.clock.advance(5)
    one.fail("the object has been modified; please apply your changes to the latest version")
    await there.look()
    assert "has been modified" in (there.only().error or "")
    there.clock.advance(5)
    one.phase("HostClone", "20.00%")
    await there.look()
    there.clock.advance(30)
    one.succeed()
    await there.look()
    assert there.counted(CEPH, "host-assisted") == (8 * GiB, 40.0)
    assert there.ended(CEPH, "host-assisted") == {("done", ""): 1}


async def test_error_that_stays_is_a_failure(there: Stage) -> None:
    """After a minute it is believed, from when it was said; what was copied until then counts."""
    there.golden(CEPH, 8 * GiB)
    one = clone(there, CEPH, "copy")
    one.phase("HostClone", "25.00%")
    await there.look()
    there.clock.advance(10)
    one.fail("source claim does not exist")
    await there.look()
    there.clock.advance(59)
    await there.look()
    assert there.ended(CEPH, "host-assisted") == {}
    there.clock.advance(1)
    await there.look()
    assert there.ended(CEPH, "host-assisted") == {("failed", "source-missing"): 1}
    assert there.counted(CEPH, "host-assisted") == (2 * GiB, 10.0)
    there.clock.advance(600)
    await there.look()
    assert there.ended(CEPH, "host-assisted") == {("failed", "source-missing"): 1}


async def test_clone_that_never_begins_fails_without_figures(there: Stage) -> None:
    """A refused clone is counted; no bytes and no seconds are made up for it."""
    one = clone(there, CEPH)
    one.fail('exceeded quota: storage, requested: requests.storage="10Gi"')
    await there.look()
    there.clock.advance(60)
    await there.look()
    assert there.ended(CEPH, "csi-clone") == {("failed", "no-space"): 1}
    assert there.counted(CEPH, "csi-clone") == NOTHING


async def test_claim_is_lost(there: Stage) -> None:
    """A lost claim ends the copy at once."""
    there.golden(CEPH, 8 * GiB)
    one = clone(there, CEPH, "copy")
    one.phase("HostClone", "50.00%")
    await there.look()
    there.clock.advance(4)
    one.lose()
    await there.look()
    assert there.ended(CEPH, "host-assisted") == {("failed", "claim-lost"): 1}
    assert there.counted(CEPH, "host-assisted") == (4 * GiB, 4.0)


async def test_deleted_half_way(there: Stage) -> None:
    """What was copied counts, inferred, and the outcome says that it was deleted."""
    there.golden(CEPH, 8 * GiB)
    one = clone(there, CEPH, "copy")
    one.phase("HostClone")
    await there.look()
    there.clock.advance(10)
    one.phase("HostClone", "75.00%")
    await there.look()
    there.clock.advance(2)
    one.delete()
    await there.look()
    assert there.ended(CEPH, "host-assisted") == {("deleted", ""): 1}
    assert there.counted(CEPH, "host-assisted") == (6 * GiB, 12.0)
    assert (there.last().state, there.last().reason) == ("Failed", "deleted")


async def test_deleted_half_way_without_progress(there: Stage) -> None:
    """How much was copied is not known: it is counted, without bytes and seconds."""
    one = clone(there, CEPH)
    one.phase("CSIClone")
    await there.look()
    there.clock.advance(9)
    one.delete()
    await there.look()
    assert there.ended(CEPH, "csi-clone") == {("deleted", ""): 1}
    assert there.counted(CEPH, "csi-clone") == NOTHING
    assert there.last().seconds == 9.0


async def test_restart_amid_a_copy(there: Stage) -> None:
    """Its beginning is remembered: bytes and seconds are those of the whole copy."""
    one, two = await deep(there)
    two.initiate()
    await there.look()
    there.clock.advance(10)
    two.progress(20)
    await there.look()
    await there.stop()
    there.clock.advance(5)
    await there.start()
    there.clock.advance(5)
    two.progress(40)
    await there.look()
    assert there.only().seconds == 20.0
    there.clock.advance(10)
    two.copied()
    await there.look()
    assert there.counted(V2, "csi-clone") == (3 * GiB, 30.0)
    assert one.uid == there.last().uid


async def test_end_while_the_service_is_away(there: Stage) -> None:
    """Its end is the DataVolume's own time."""
    there.golden(CEPH, 8 * GiB)
    one = clone(there, CEPH, "copy")
    one.phase("HostClone", "10.00%")
    await there.look()
    await there.stop()
    there.clock.advance(50)
    one.succeed()
    there.clock.advance(3600)
    await there.start()
    await there.look()
    assert there.counted(CEPH, "host-assisted") == (8 * GiB, 50.0)
    assert there.ended(CEPH, "host-assisted") == {("done", ""): 1}


async def test_whole_copy_while_the_service_is_away(there: Stage) -> None:
    """In a class that binds at once it began when its claim was made; that and its end are told."""
    there.golden(CEPH, 8 * GiB)
    await there.stop()
    one = clone(there, CEPH, "copy")
    there.clock.advance(40)
    one.succeed()
    there.clock.advance(100)
    await there.start()
    await there.look()
    assert there.counted(CEPH, "host-assisted") == (8 * GiB, 40.0)


async def test_no_rate_is_made_up(there: Stage) -> None:
    """A claim that waited for its consumer does not tell when its copy began: no seconds count."""
    there.golden(LVM, 8 * GiB)
    await there.stop()
    one = clone(there, LVM, "copy")
    there.clock.advance(7200)
    one.succeed()
    await there.start()
    await there.look()
    assert there.ended(LVM, "host-assisted") == {("done", ""): 1}
    assert there.counted(LVM, "host-assisted") == NOTHING
    assert (there.last().seconds, there.last().done) == (None, 8 * GiB)


async def test_deleted_while_the_service_is_away(there: Stage) -> None:
    """It is counted; when it ended nobody knows."""
    one = clone(there, CEPH, "copy")
    one.phase("HostClone", "10.00%")
    await there.look()
    await there.stop()
    one.delete()
    await there.start()
    there.clock.advance(60)
    await there.look()
    assert there.ended(CEPH, "host-assisted") == {("deleted", ""): 1}
    assert there.counted(CEPH, "host-assisted") == NOTHING
    assert there.copies.running() == []


async def test_import_by_cdi(there: Stage) -> None:
    """CDI's percentage begins anew when it converts; what was told before stands."""
    one = Import(there.kubernetes, "debian", "ceph", 4 * GiB, url="https://me:pw@host/d?sig=x")
    one.begin()
    await there.look()
    there.clock.advance(3)
    one.progress("N/A")
    await there.look()
    there.clock.advance(10)
    one.progress("60.00%")
    await there.look()
    there.clock.advance(10)
    one.progress("2.00%", error="connection reset")
    await there.look()
    running = there.only()
    assert (running.done, running.error) == (4 * GiB * 60 // 100, "connection reset")
    assert running.source == "https://host/d?sig=***"
    assert running.idle_seconds == 10.0
    there.clock.advance(30)
    one.succeed()
    await there.look()
    assert there.counted(CEPH, "cdi-import") == (4 * GiB, 50.0)


async def test_import_of_ours_is_not_cdis(there: Stage) -> None:
    """A DataVolume that carries our mark is counted where its bytes are."""
    ours = {"image-importer/uid": "1234"}
    one = Import(there.kubernetes, "debian", "ceph", 4 * GiB, labels=ours)
    one.begin()
    one.progress("50.00%")
    await there.look()
    there.clock.advance(5)
    one.succeed()
    await there.look()
    assert there.copies.running() == there.copies.recent() == []
    assert there.ended(CEPH, "cdi-import") == {}


async def test_longhorn_cannot_be_seen(there: Stage) -> None:
    """CDI alone is believed then: its own end is the copy's."""
    there.watched = EVERY - {"volumes", "engines"}
    there.golden(V2, 10 * GiB, 3 * GiB)
    one = clone(there)
    one.phase("CSIClone")
    await there.look()
    there.clock.advance(4)
    one.succeed()
    await there.look()
    assert there.counted(V2, "csi-clone") == (10 * GiB, 4.0)


async def test_volume_that_is_seen_late(there: Stage) -> None:
    """CDI says Succeeded before Longhorn's volume is seen: it is waited for, and it decides."""
    source = there.golden(V2, 10 * GiB, 3 * GiB)
    one = clone(there)
    one.phase("CSIClone")
    await there.look()
    name = one.provision()
    there.clock.advance(2)
    one.succeed()
    await there.look()
    two = Cloned(there.kubernetes, name, source, 10 * GiB)
    there.clock.advance(1)
    two.begin()
    two.initiate()
    await there.look()
    there.clock.advance(20)
    two.copied()
    await there.look()
    assert there.counted(V2, "csi-clone") == (3 * GiB, 23.0)


async def test_claim_that_is_seen_late(there: Stage) -> None:
    """A volume whose claim is not seen yet looks like Longhorn's own copy: it is taken back."""
    source = there.golden(V2, 10 * GiB, 3 * GiB)
    one = clone(there)
    name = one.provision()
    two = Cloned(there.kubernetes, name, source, 10 * GiB)
    two.begin()
    two.initiate()
    passing = there.kubernetes.get("persistentvolumeclaims", "default", one.passing)
    one.unbind()
    await there.look()
    assert there.only().strategy == "full-copy"
    for key in ("uid", "resourceVersion"):
        assert passing["metadata"].pop(key)
    made = there.kubernetes.create("persistentvolumeclaims", passing)
    bound = {"spec": {"volumeName": name}}
    there.kubernetes.apply("persistentvolumeclaims", "default", made["metadata"]["name"], bound)
    there.clock.advance(1)
    one.phase("CSIClone")
    await there.look()
    assert there.only().strategy == "csi-clone"
    assert there.copies.recent() == []


async def test_clone_that_failed_and_is_made_after_all(there: Stage) -> None:
    """CDI never gives up: what failed for want of its source is another try once that is there."""
    one = clone(there, CEPH, "copy")
    one.fail("source claim does not exist")
    await there.look()
    there.clock.advance(60)
    await there.look()
    there.clock.advance(600)
    one.phase("Pending")
    await there.look()
    one.fail("source claim does not exist")  # the same failure still
    await there.look()
    there.clock.advance(120)
    await there.look()
    assert there.ended(CEPH, "host-assisted") == {("failed", "source-missing"): 1}
    there.golden(CEPH, 8 * GiB)
    one.phase("HostClone", "1.00%")
    await there.look()
    assert there.only().uid == f"{one.uid}/2"
    there.clock.advance(16)
    one.succeed()
    await there.look()
    assert there.counted(CEPH, "host-assisted") == (8 * GiB, 16.0)
    ends = {("failed", "source-missing"): 1, ("done", ""): 1}
    assert there.ended(CEPH, "host-assisted") == ends
    there.clock.advance(60)
    await there.stop()
    await there.start()
    await there.look()
    assert there.ended(CEPH, "host-assisted") == ends


async def test_clone_that_failed_before_longhorn_began(there: Stage) -> None:
    """Longhorn's first try is the copy's second then, and is counted."""
    source = there.golden(V2, 10 * GiB, 3 * GiB)
    one = clone(there)
    one.fail("exceeded quota: storage")
    await there.look()
    there.clock.advance(60)
    await there.look()
    one.phase("CSIClone")
    two = Cloned(there.kubernetes, one.provision(), source, 10 * GiB)
    two.begin()
    await there.look()
    two.initiate()
    await there.look()
    assert there.only().uid == f"{one.uid}/2"
    there.clock.advance(12)
    two.copied()
    await there.look()
    one.succeed()
    there.clock.advance(30)
    await there.look()
    assert there.counted(V2, "csi-clone") == (3 * GiB, 12.0)
    assert there.ended(V2, "csi-clone") == {("failed", "no-space"): 1, ("done", ""): 1}
    assert there.copies.running() == []


async def test_first_start_counts_nothing_of_before(there: Stage) -> None:
    """What was over before the very first look is no news; what runs then has its own times."""
    there.golden(CEPH, 8 * GiB)
    old = Clone(there.kubernetes, "old", "ceph", 8 * GiB, kind="copy")
    old.begin()
    old.phase("HostClone", "50.00%")
    old.succeed()
    one = clone(there, CEPH, "copy")
    there.clock.advance(30)
    one.phase("HostClone", "10.00%")
    await there.stop()
    (there.data / "copies.db").unlink()
    await there.start()
    await there.look()
    assert there.ended(CEPH, "host-assisted") == {}
    assert there.only().seconds == 30.0  # since its claim was made: the class binds at once
    there.clock.advance(20)
    one.succeed()
    await there.look()
    assert there.counted(CEPH, "host-assisted") == (8 * GiB, 50.0)


async def test_kind_that_can_be_seen_later_counts_nothing_of_before(there: Stage) -> None:
    """Rights to look at Longhorn come a day later: what it copied until then is no news."""
    there.watched = EVERY - {"volumes", "engines"}
    await there.stop()
    (there.data / "copies.db").unlink()
    await there.start()
    volume(there.kubernetes, "golden", GiB)
    old = Cloned(there.kubernetes, "old", "golden", GiB)
    old.begin()
    old.initiate()
    old.complete()
    await there.look()
    there.watched = EVERY
    await there.look()
    new = Cloned(there.kubernetes, "new", "golden", GiB)
    new.begin()
    new.initiate()
    await there.look()
    there.clock.advance(5)
    new.copied()
    await there.look()
    of = replace(V2, name="(unknown)", backend="(unknown)")
    assert there.counted(of, "full-copy") == (GiB, 5.0)
    assert there.ended(of, "full-copy") == {("done", ""): 1}


async def test_stretch_without_sight(there: Stage) -> None:
    """What ended while nothing could be seen ended when its object says, not when it was seen."""
    there.golden(CEPH, 8 * GiB)
    one = clone(there, CEPH, "copy")
    one.phase("HostClone", "10.00%")
    await there.look()
    there.watched = frozenset()
    there.clock.advance(40)
    one.succeed()
    await there.look()
    assert len(there.copies.running()) == 1
    there.clock.advance(500)
    there.watched = EVERY
    await there.look()
    assert there.counted(CEPH, "host-assisted") == (8 * GiB, 40.0)


async def test_clone_whose_claim_says_no_phase(there: Stage) -> None:
    """Where CDI writes nothing on the claim, its DataVolume tells."""
    there.golden(CEPH, 8 * GiB)
    one = clone(there, CEPH, "copy")
    notes = {"metadata": {"annotations": {"cdi.kubevirt.io/clonePhase": None}}}
    there.kubernetes.apply("persistentvolumeclaims", "default", "vm-1", notes)

    def told(phase: str, progress: str) -> None:
        status = {"status": {"phase": phase, "progress": progress}}
        there.kubernetes.apply("datavolumes", "default", "vm-1", status)

    told("CloneInProgress", "25.00%")
    await there.look()
    assert there.only().done == 2 * GiB
    there.clock.advance(10)
    told("Succeeded", "100.0%")
    await there.look()
    assert there.counted(CEPH, "host-assisted") == (8 * GiB, 10.0)
    assert one.uid == there.last().uid


async def test_end_that_is_seen_late(there: Stage) -> None:
    """A connection that hangs tells late: the end is when the DataVolume became ready."""
    there.golden(CEPH, 8 * GiB)
    one = clone(there, CEPH, "copy")
    one.phase("HostClone", "10.00%")
    await there.look()
    there.clock.advance(40)
    one.succeed()
    there.clock.advance(25)
    await there.look()
    assert there.counted(CEPH, "host-assisted") == (8 * GiB, 40.0)


@pytest.mark.parametrize("away", [True, False])
async def test_longhorn_tells_no_time(there: Stage, away: bool) -> None:
    """A deep copy that ended while nobody could see it is counted; when it ended nobody knows."""
    _, two = await deep(there)
    two.initiate()
    await there.look()
    if away:
        await there.stop()
    there.watched = frozenset()
    there.clock.advance(10)
    if not away:
        await there.look()
    two.copied()
    there.clock.advance(3600)
    there.watched = EVERY
    if away:
        await there.start()
    await there.look()
    assert there.ended(V2, "csi-clone") == {("done", ""): 1}
    assert there.counted(V2, "csi-clone") == NOTHING
    assert (there.last().done, there.last().seconds) == (3 * GiB, None)


async def test_error_of_before_the_first_start_is_not_the_end(there: Stage) -> None:
    """What stands at Error when the service looks for the first time may be made after all."""
    await there.stop()
    (there.data / "copies.db").unlink()
    one = clone(there, CEPH, "copy")
    one.fail("source claim is in use")
    await there.start()
    await there.look()
    there.golden(CEPH, 8 * GiB)
    there.clock.advance(30)
    one.phase("HostClone", "1.00%")
    await there.look()
    there.clock.advance(20)
    one.succeed()
    await there.look()
    assert there.ended(CEPH, "host-assisted") == {("done", ""): 1}
    assert there.counted(CEPH, "host-assisted") == (8 * GiB, 20.0)
