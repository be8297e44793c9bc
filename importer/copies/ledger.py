"""From what is seen of copies, one look after the other, to copies with a beginning and an end.

No I/O; the time is given. A copy's seconds are between the first look at which it ran and the first
at which it was over. They are known only if both were seen as they happened, or an object tells
the time (to the second); else they are None, and neither bytes nor seconds are counted: a rate is
never invented.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import msgspec

from importer.copies.seen import Reading, Seen
from importer.model import Copy

LATE = 2.0
"""Seconds by which an object's own time must be before ours to be taken instead: those are written
in whole seconds, by another clock. We see what happens within a second, but after a connection had
to be made again."""


@dataclass(frozen=True, slots=True)
class Over:
    """An end that may not be believed yet."""

    seen: Seen
    first: float
    """When it was first seen."""

    is_fresh: bool
    """It happened just then."""


@dataclass(slots=True)
class Entry:
    """A copy that runs."""

    seen: Seen
    changed: float
    """When it last made progress."""

    started: float | None = None
    has_run: bool = False
    is_fresh: bool = False
    """It was looked at all the time until now: what is new has happened just now."""

    over: Over | None = None

    @property
    def left(self) -> int:
        """Bytes that are still to be copied, as far as is known."""
        return max(0, (self.seen.total or 0) - (self.seen.done or 0))


@dataclass(frozen=True, slots=True)
class End:
    """A copy that is over."""

    copy: Copy
    kind: str
    outcome: str
    """done, failed, deleted."""

    bytes: int = 0
    """To be counted, with `seconds`; both 0 where one of them is not known."""

    seconds: float = 0.0


@dataclass(slots=True)
class Changes:
    """What one look has brought."""

    begun: list[Entry] = field(default_factory=list)
    changed: dict[str, Entry] = field(default_factory=dict)
    """Those that run and have something new to tell, those that began among them."""

    ends: list[End] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    """Uids of copies that are none of their own after all."""


class Ledger:
    """The copies that run."""

    def __init__(self, kept: Mapping[str, tuple[str, Copy]] | None = None) -> None:
        self.entries: dict[str, Entry] = {}
        self._kept = dict(kept or {})
        """Those that ran when the service stopped, until they are seen again: kind and copy."""

        self._watched: frozenset[str] = frozenset()

    def look(
        self, reading: Reading, watched: frozenset[str], counted: Collection[str], now: float
    ) -> Changes:
        """Take in *reading*; *watched*: the kinds of objects that are up to date at *now*."""
        changes = Changes()
        self._absorb(reading, changes)
        for uid, seen in reading.seen.items():
            if seen.kind in watched and uid not in counted:
                self._see(seen, changes, now)
        self._miss(reading, watched, changes, now)
        for entry in self.entries.values():
            entry.is_fresh = entry.seen.kind in watched
        self._watched = watched
        return changes

    def due(self) -> float | None:
        """Return when another look is needed though nothing may have changed."""
        ends = [one.over for one in self.entries.values() if one.over]
        return min((one.first + one.seen.lasts for one in ends), default=None)

    def _absorb(self, reading: Reading, changes: Changes) -> None:
        for uid in [*self.entries, *self._kept]:
            if uid.partition("/")[0] in reading.absorbed:
                self._drop(uid, changes)

    def _drop(self, uid: str, changes: Changes) -> None:
        self.entries.pop(uid, None)
        self._kept.pop(uid, None)
        changes.dropped.append(uid)

    def _see(self, seen: Seen, changes: Changes, now: float) -> None:
        entry = self.entries.get(seen.uid) or self._entered(seen, now)
        is_none = seen.state == "waiting" or (seen.state == "failed" and seen.is_again)
        if is_none and not entry.has_run:
            if self.entries.pop(seen.uid, None):
                changes.dropped.append(seen.uid)
            return
        self.entries[seen.uid] = entry
        if seen.state in ("waiting", "running"):
            self._goes_on(entry, seen, changes, now)
            return
        over = entry.over
        known = over is not None and over.seen.state == seen.state
        entry.over = replace(over, seen=seen) if over and known else Over(seen, now, entry.is_fresh)
        if now - entry.over.first >= seen.lasts:
            self._end(entry, entry.over, changes)
        elif not known:
            changes.changed[seen.uid] = entry

    def _entered(self, seen: Seen, now: float) -> Entry:
        """Return a new entry, or that of one which ran before the service stopped."""
        entry = Entry(seen, now, is_fresh=seen.kind in self._watched)
        kind_and_copy = self._kept.pop(seen.uid, None)
        if kind_and_copy:
            started = kind_and_copy[1].started_at
            entry.started = started.timestamp() if started else None
            entry.has_run, entry.is_fresh = True, False
        return entry

    def _goes_on(self, entry: Entry, seen: Seen, changes: Changes, now: float) -> None:
        seen = _at_least(seen, entry.seen.done)
        is_new = not entry.has_run
        if is_new:
            entry.started = now if entry.is_fresh and not seen.is_timed else seen.began
            entry.has_run = True
            changes.begun.append(entry)
        moved = (seen.done, seen.phase) != (entry.seen.done, entry.seen.phase)
        if moved or entry.over:
            entry.changed = now
        if is_new or moved or entry.over or seen.error != entry.seen.error:
            changes.changed[seen.uid] = entry
        entry.seen, entry.over = seen, None

    def _miss(
        self, reading: Reading, watched: frozenset[str], changes: Changes, now: float
    ) -> None:
        """End the copies whose objects are gone."""
        for uid in [uid for uid in self.entries if uid not in reading.seen]:
            entry = self.entries[uid]
            if entry.seen.kind in watched:
                gone = replace(entry.seen, state="failed", reason="deleted", ended=None)
                self._end(entry, entry.over or Over(gone, now, entry.is_fresh), changes)
        for uid in [uid for uid in self._kept if uid not in reading.seen]:
            kind, copy = self._kept[uid]
            if kind in watched:
                del self._kept[uid]
                changes.ends.append(End(_gone(copy), kind, "deleted"))

    def _end(self, entry: Entry, over: Over, changes: Changes) -> None:
        del self.entries[entry.seen.uid]
        changes.changed.pop(entry.seen.uid, None)
        changes.ends.append(_ended(entry, over))


def running(entry: Entry, now: float) -> Copy:
    """Return a copy that runs as it is at *now*."""
    seen = entry.over.seen if entry.over else entry.seen
    copy = _copy(seen, "Running", entry.started, None)
    seconds = None if entry.started is None else max(0.0, now - entry.started)
    done = entry.seen.done or 0
    return msgspec.structs.replace(
        copy,
        done=done,
        seconds=seconds,
        bytes_per_second=_rate(done, seconds),
        is_hint=seen.basis == "inferred",
        idle_seconds=max(0.0, now - entry.changed),
    )


def _ended(entry: Entry, over: Over) -> End:
    seen = _at_least(over.seen, entry.seen.done)
    is_done = seen.state == "done"
    done = seen.total if is_done and seen.total is not None else seen.done
    started = entry.started if entry.has_run and not seen.is_timed else seen.began
    ended = _end_of(over)
    seconds = None if started is None or ended is None else max(0.0, ended - started)
    copy = msgspec.structs.replace(
        _copy(seen, "Done" if is_done else "Failed", started, ended),
        done=done or 0,
        seconds=seconds,
        bytes_per_second=_rate(done or 0, seconds),
        is_hint=seen.basis == "inferred" and not is_done,
    )
    outcome = "done" if is_done else "deleted" if seen.reason == "deleted" else "failed"
    if done is None or seconds is None:
        return End(copy, seen.kind, outcome)
    return End(copy, seen.kind, outcome, done, seconds)


def _end_of(over: Over) -> float | None:
    """Return when a copy was over, None where nobody knows."""
    told = over.seen.ended
    if over.seen.is_timed or not over.is_fresh:
        return told
    return told if told is not None and told < over.first - LATE else over.first


def _copy(seen: Seen, state: str, started: float | None, ended: float | None) -> Copy:
    return Copy(
        uid=seen.uid,
        namespace=seen.namespace,
        name=seen.name,
        storage_class=seen.of.name,
        engine=seen.of.engine,
        backend=seen.of.backend,
        strategy=seen.strategy,
        basis=seen.basis,
        state=state,  # type: ignore[arg-type]
        phase=seen.phase if state != "Failed" else None,
        total=seen.total,
        started_at=_moment(started),
        ended_at=_moment(ended),
        error=seen.error or None,
        reason=seen.reason if state == "Failed" else "",
        source=seen.source,
        why=seen.why or None,
    )


def _gone(copy: Copy) -> Copy:
    """Return a copy whose object went while nobody looked."""
    return msgspec.structs.replace(
        copy, state="Failed", phase=None, reason="deleted", seconds=None, bytes_per_second=0.0
    )


def _at_least(seen: Seen, done: int | None) -> Seen:
    """Return *seen* with no fewer bytes than *done*: a percentage that begins anew, as CDI's does
    between download and convert, takes nothing back."""
    return seen if done is None else replace(seen, done=max(done, seen.done or 0))


def _rate(done: int, seconds: float | None) -> float:
    return done / seconds if seconds else 0.0


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(round(seconds, 3), UTC)
