"""What storage classes do in a second, as every finished import teaches, kept in the store."""

from importer.jobs.job import Job
from importer.jobs.rates import defaults, learnt
from importer.jobs.store import Store
from importer.jobs.timeline import seconds_in
from importer.model import Phase, Rates
from importer.targets.classes import Classes


class Learning:
    """The rates of all storage classes."""

    def __init__(self, store: Store, classes: Classes) -> None:
        self._store = store
        self._classes = classes
        self._rates: dict[str, Rates] = {}

    async def rates_of(self, storage_class: str) -> Rates:
        """Return what plans reckon with for *storage_class*. Raises NotFound."""
        if storage_class not in self._rates:
            backend = self._classes.described(storage_class).backend
            known = await self._store.rates(storage_class)
            self._rates.setdefault(storage_class, known or defaults(backend))
        return self._rates[storage_class]

    async def rates_for(self, job: Job) -> Rates:
        """Return those of the way that *job* takes."""
        name = self._class_of(job)
        if job.into and job.into.backend != self._classes.described(name).backend:
            return defaults(job.into.backend)
        return await self.rates_of(name)

    async def learn(self, job: Job) -> None:
        """Correct the rates of its class by what *job*, which has succeeded, took."""
        if job.attempt is None or job.attempt.cargo is None or job.attempt.written is None:
            return
        if job.into:  # filled in another way than what its class makes by itself
            return
        name, attempt, status = self._class_of(job), job.attempt, job.image.status
        rates = await self.rates_of(name)
        transferring = seconds_in(status, Phase.TRANSFERRING) or 0.0
        self._rates[name] = learnt(
            rates,
            attempt.steps(rates, status.virtual_size),
            transferring - attempt.waited,
            seconds_in(status, Phase.PROCESSING) or 0.0,
        )
        await self._store.keep_rates(name, self._rates[name])

    def _class_of(self, job: Job) -> str:
        return job.image.spec.storage_class or self._classes.default
