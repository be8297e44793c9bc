"""Copies of volumes on the cluster: which run, how far they are, and what all of them came to.

Read by the API, the command line and the page; nothing that they call waits. `copies.watcher` looks
at the cluster and calls `look`. What is told to Prometheus is on disk before, so that a restart
neither loses a copy that is over nor counts it twice.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager

import msgspec

from importer.copies.facts import Facts
from importer.copies.history import KEPT, Counted, History, Label, Total
from importer.copies.ledger import Changes, End, Ledger, running
from importer.copies.reading import Reader
from importer.copies.seen import CLAIMS, DATA_VOLUMES, VOLUMES, ClassFact, Seen
from importer.copies.strategies import reasons, strategies
from importer.metrics import CopyLabels, CopyMetrics
from importer.model import Copy, CopyTotals
from importer.news import Listener, News

IMAGES = "images"
"""Kind of what this service imports itself."""

PRUNE = 600.0
"""Seconds between two looks for counted copies whose objects are gone."""


class Copies:
    """All copies that are known of."""

    def __init__(
        self, history: History, metrics: CopyMetrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._history = history
        self._metrics = metrics
        metrics.clock = self.clock = clock
        self._news = News[Copy](lambda copy: copy.uid)
        self._reader = Reader()
        self._ledger = Ledger()
        self._classes: dict[str, ClassFact] = {}
        self._own: dict[str, Seen] = {}
        self._totals: dict[Label, Total] = {}
        self._labels: dict[CopyLabels, str] = {}
        """Every series that there is → its basis."""

        self._recent: deque[Copy] = deque(maxlen=KEPT)
        self._counted: dict[str, Counted] = {}
        self._known: set[str] = set()
        self._up: dict[str, bool] = {}
        self._pruned = 0.0

    async def open(self) -> None:
        """Take up what an earlier service left."""
        found = await self._history.open()
        self._totals, self._counted, self._known = found.totals, found.counted, found.known
        self._recent.extend(found.over)
        # An import of ours that was cut off is made again from its beginning: another copy.
        cut = [uid for uid, (kind, _) in found.running.items() if kind == IMAGES]
        await self._history.drop(cut)
        self._ledger = Ledger({uid: one for uid, one in found.running.items() if uid not in cut})
        for label, total in self._totals.items():
            self._begin(_labels(label), label.basis)
            self._tell(label, total)

    async def close(self) -> None:
        """Close the history."""
        await self._history.close()

    def running(self) -> list[Copy]:
        """Return those that run, oldest first, as they are at this moment."""
        now = self.clock()
        entries = sorted(self._ledger.entries.values(), key=lambda one: one.started or now)
        return [running(entry, now) for entry in entries]

    def recent(self, limit: int = 100) -> list[Copy]:
        """Return the last *limit* that are over, newest first; a bounded number is kept."""
        return list(self._recent)[::-1][:limit]

    def report(self) -> list[CopyTotals]:
        """Return what all came to, by storage class and strategy; those without any too."""
        found = {of: _nothing(of, basis) for of, basis in self._labels.items()}
        for label, total in self._totals.items():
            found[_labels(label)] = _added(found[_labels(label)], label, total)
        for entry in self._ledger.entries.values():
            of = _labels_of(entry.seen)
            now = found.get(of) or _nothing(of, entry.seen.basis)
            found[of] = msgspec.structs.replace(
                now, active=now.active + 1, remaining=now.remaining + entry.left
            )
        return [found[of] for of in sorted(found)]

    def watching(self) -> dict[str, bool]:
        """Return whether each kind of object can be looked at just now, by its name."""
        return dict(self._up)

    def listener(self) -> AbstractContextManager[Listener[Copy]]:
        """Return a listener that hears of every change until the block ends."""
        return self._news.listener()

    # --- what is told

    def know(self, classes: Iterable[ClassFact]) -> None:
        """Hear of storage classes: each has its series from now on."""
        for one in classes:
            for strategy in strategies(one.engine):
                basis = "measured" if strategy == "import" else "inferred"
                self._begin((one.backend, one.name, one.engine, strategy), basis)

    def classify(self, classes: Mapping[str, ClassFact]) -> None:
        """Hear what the cluster's classes are, by their names in claims."""
        new = {name: one for name, one in classes.items() if self._classes.get(name) != one}
        self._classes |= new
        self.know(new.values())

    def up(self, resource: str, is_up: bool) -> None:
        """Hear whether *resource* can be watched."""
        self._up[resource] = is_up
        self._metrics.up(resource, is_up)

    def own(self, seen: Seen) -> None:
        """Hear of an import of ours; it is taken in at the next look."""
        self._own[seen.uid] = seen

    async def look(self, facts: Facts) -> float | None:
        """Take in what the cluster shows, and return when to look again at the latest."""
        reading = self._reader.read(facts, self._classes, self._counted)
        await self._know(reading.seen.values(), facts.watched)
        reading.seen.update(self._own)
        now = self.clock()
        watched = facts.watched | {IMAGES}
        changes = self._ledger.look(reading, watched, self._counted, now)
        await self._write(changes, now)
        await self._amend(reading.seen)
        self._live()
        if now - self._pruned > PRUNE:
            self._pruned = now
            await self._prune(facts)
        return self._ledger.due()

    async def _know(self, seen: Iterable[Seen], watched: frozenset[str]) -> None:
        """Pass over copies that were over before their kind of object was looked at first."""
        every = list(seen)
        for kind in (watched & {CLAIMS, DATA_VOLUMES, VOLUMES}) - self._known:
            over = [one.uid for one in every if one.kind == kind and one.is_over and not one.lasts]
            await self._history.know(kind, over)
            self._counted |= dict.fromkeys(over, (kind, ""))
            self._known.add(kind)

    async def _write(self, changes: Changes, now: float) -> None:
        """Write down what has changed, then tell Prometheus and whoever listens."""
        if changes.dropped:
            await self._history.drop(changes.dropped)
        if changes.begun:
            await self._history.keep((one.seen.kind, running(one, now)) for one in changes.begun)
        for end in changes.ends:
            await self._end(end)
        for entry in changes.changed.values():
            self._news.publish(running(entry, now))

    async def _end(self, end: End) -> None:
        label = _label(end)
        before = self._totals.get(label, Total())
        total = Total(before.copies + 1, before.bytes + end.bytes, before.seconds + end.seconds)
        uid = end.copy.uid
        counted = None if end.kind == IMAGES else (end.kind, label.reason)
        await self._history.end(end, label, total, counted)
        self._totals[label] = total
        if counted:
            self._counted[uid] = counted
        else:
            del self._own[uid]
            # Tried again by hand, an image begins with its first try again.
            self._forget(uid)
        self._begin(_labels(label), label.basis)
        self._tell(label, Total(1, end.bytes, end.seconds))
        self._recent.append(end.copy)
        self._news.publish(end.copy)

    def _forget(self, uid: str) -> None:
        for place, copy in enumerate(self._recent):
            if copy.uid == uid:
                del self._recent[place]
                return

    async def _amend(self, seen: Mapping[str, Seen]) -> None:
        """Hear that the replicas of a copy that is over are there."""
        for place, copy in enumerate(self._recent):
            if copy.phase is None:
                continue
            now = seen.get(copy.uid)
            if now is None or now.phase != copy.phase:
                copy = msgspec.structs.replace(copy, phase=now and now.phase)
                self._recent[place] = copy
                await self._history.amend(copy)
                self._news.publish(copy)

    async def _prune(self, facts: Facts) -> None:
        there = {
            CLAIMS: {one.uid for one in facts.claims},
            DATA_VOLUMES: {one.uid for one in facts.data_volumes},
            VOLUMES: {one.uid for one in facts.volumes},
        }
        uids = {kind: there[kind] for kind in there if kind in facts.watched}
        gone = [
            uid
            for uid, (kind, _) in self._counted.items()
            if kind in uids and uid.partition("/")[0] not in uids[kind]
        ]
        await self._history.forget(gone)
        for uid in gone:
            del self._counted[uid]

    # --- series

    def _begin(self, of: CopyLabels, basis: str) -> None:
        if of not in self._labels:
            self._labels[of] = basis
            self._metrics.begin(of, basis, reasons(of[3]))

    def _tell(self, label: Label, total: Total) -> None:
        of = _labels(label)
        self._metrics.count(of, label.basis, total.bytes, total.seconds)
        self._metrics.ended(of, label.outcome, label.reason, total.copies)

    def _live(self) -> None:
        active: dict[CopyLabels, list[tuple[int, float]]] = {of: [] for of in self._labels}
        for entry in self._ledger.entries.values():
            of = _labels_of(entry.seen)
            self._begin(of, entry.seen.basis)
            active.setdefault(of, []).append((entry.left, entry.changed))
        for of, ones in active.items():
            since = min((changed for _, changed in ones), default=None)
            self._metrics.live(of, len(ones), sum(left for left, _ in ones), since)


def _labels(label: Label) -> CopyLabels:
    return label.backend, label.storage_class, label.engine, label.strategy


def _labels_of(seen: Seen) -> CopyLabels:
    return seen.of.backend, seen.of.name, seen.of.engine, seen.strategy


def _label(end: End) -> Label:
    copy = end.copy
    of = (copy.backend, copy.storage_class, copy.engine, copy.strategy, copy.basis)
    return Label(*of, end.outcome, copy.reason if end.outcome == "failed" else "")


def _nothing(of: CopyLabels, basis: str) -> CopyTotals:
    backend, storage_class, engine, strategy = of
    return CopyTotals(
        storage_class=storage_class,
        engine=engine,
        backend=backend,
        strategy=strategy,  # type: ignore[arg-type]
        basis=basis,  # type: ignore[arg-type]
    )


def _added(totals: CopyTotals, label: Label, total: Total) -> CopyTotals:
    size, seconds = totals.bytes + total.bytes, totals.seconds + total.seconds
    counts = {label.outcome: getattr(totals, label.outcome) + total.copies}
    more = {label.reason: total.copies} if label.reason else {}
    return msgspec.structs.replace(
        totals,
        bytes=size,
        seconds=seconds,
        bytes_per_second=size / seconds if seconds else 0.0,
        reasons=totals.reasons | more,
        **counts,
    )
