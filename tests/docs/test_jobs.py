"""docs/jobs.md has the phases and the moves of importer/model.py."""

from importer.model import NEXT, Phase
from tests.docs.pages import page, rows, section, ticked


def test_the_moves_are_the_table() -> None:
    """A move that the page has and the store refuses, or the other way round, is found."""
    written = {
        ticked(before)[0]: set(ticked(after))
        for before, after in rows(section(page("jobs"), "## Moves"))
    }
    assert written == {before.value: {phase.value for phase in NEXT[before]} for before in NEXT}


def test_every_phase_is_explained() -> None:
    """The page's first table has each phase once, in order."""
    assert [ticked(row[0])[0] for row in rows(page("jobs"))] == [phase.value for phase in Phase]
