"""docs/copies.md names every strategy and basis; the API's examples of copies are true."""

import json
from typing import get_args

import msgspec

from importer.jobs.bench.result import Bench, BenchState
from importer.jobs.report import CopyList
from importer.model import Basis, Strategy
from tests.docs.pages import code, page, rows, section, sections, ticked
from tests.docs.test_api import fields


def routes() -> dict[str, str]:
    """Return the sections of docs/api.md by route."""
    return {ticked(heading)[0]: text for heading, text in sections(page("api"), "###").items()}


def test_every_strategy_is_explained() -> None:
    """The table of ways has each strategy once, and no other; so has that of numbers each basis."""
    named = [
        word
        for row in rows(section(page("copies"), "## The way of a clone"))
        for word in ticked(row[0])
    ]
    assert sorted(named) == sorted(get_args(Strategy))
    numbers = [row[0] for row in rows(section(page("copies"), "## What the numbers mean"))]
    assert [f"`basis: {basis}`" for basis in get_args(Basis)] == numbers[:2]


def test_the_example_of_copies_is_one() -> None:
    """It has every field that an answer has, and no other."""
    example = code(routes()["GET /v1/copies"], "json")[0]
    found = msgspec.json.decode(example, type=CopyList)
    assert fields(json.loads(example)) == fields(msgspec.to_builtins(found))


def test_the_example_of_a_bench_is_one() -> None:
    """So has a bench; and every state that it can be in is named."""
    text = routes()["GET /v1/bench/{id}"]
    example = code(text, "json")[0]
    found = msgspec.json.decode(example, type=Bench)
    assert fields(json.loads(example)) == fields(msgspec.to_builtins(found))
    assert {str(state) for state in BenchState} <= set(ticked(text))
