"""docs/api.md has every route, its errors, its parameters, and examples that are true."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from importer.api.service import StorageClassList
from importer.model import Image, ImageInfo, ImageRequest, PlanReport
from tests.docs.pages import code, page, section, sections, ticked
from tests.servers.running import config, running

ALWAYS = {"bad-request", "origin-refused", "internal", "unauthorized"}
"""What the page says once for all routes."""


@pytest.fixture
async def described(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """What ``/openapi.json`` says: it is made from the routes that are served."""
    async with running(config(tmp_path / "data")) as client:
        _, document = await client.ask("GET", "/openapi.json")
        yield document


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the operations by ``METHOD /path``."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def written() -> dict[str, str]:
    """Return the page's sections by ``METHOD /path``."""
    return {ticked(heading)[0]: text for heading, text in sections(page("api"), "###").items()}


async def test_every_route_has_its_section(described: dict[str, Any]) -> None:
    """A route that is missing or too much is found."""
    assert set(written()) == set(operations(described))


async def test_the_errors_of_each_route_are_named(described: dict[str, Any]) -> None:
    """The slugs below each route are those of its description."""
    for route, operation in operations(described).items():
        real = {
            slug
            for status, response in operation["responses"].items()
            if int(status) >= 400
            for slug in response["description"].split(", ")
        }
        said = written()[route].partition("\nErrors:")[2]
        assert said, route
        named = {word for word in ticked(said) if re.fullmatch(r"[a-z]+(-[a-z]+)*", word)}
        assert named == real - ALWAYS, route


async def test_the_query_of_each_route_is_named(described: dict[str, Any]) -> None:
    """Every parameter but the namespace, which the page tells of once, stands in its section."""
    for route, operation in operations(described).items():
        names = {entry["name"] for entry in operation["parameters"] if entry["in"] == "query"}
        assert names - {"namespace"} <= set(ticked(written()[route])), route


async def test_each_route_has_an_example() -> None:
    """The example of a route asks for that route."""
    for route, text in written().items():
        method, path = route.split()
        example = "\n".join(code(text, "sh"))
        real = path.replace("{name}", "debian-12").replace("{id}", "$U")
        assert f"$A{real}" in example, route
        said = re.search(r"-X (\w+)", example)
        implied = "PUT" if " -T " in example else "POST" if " -d " in example else "GET"
        assert method == (said[1] if said else implied), route


def test_the_example_image_is_one() -> None:
    """The image on the page has every field of an image, and no other."""
    example = code(section(page("api"), "## An image"), "json")[0]
    image = msgspec.json.decode(example, type=Image)
    assert fields(json.loads(example)) == fields(msgspec.to_builtins(image))


def fields(value: Any) -> Any:
    """Return the names in *value*, level by level."""
    if isinstance(value, dict):
        return {name: fields(inner) for name, inner in value.items()}
    return [fields(inner) for inner in value] if isinstance(value, (list, tuple)) else None


def test_the_other_examples_are_what_the_routes_take_and_give() -> None:
    """Bodies of requests and answers on the page decode as the types of the routes."""
    routes = written()
    body = re.search(r"-d '(.*)'", code(routes["POST /v1/images"], "sh")[0], re.DOTALL)
    assert body
    assert msgspec.json.decode(body[1], type=ImageRequest).name == "debian-12"
    inspected = code(routes["POST /v1/inspect"], "json")[0]
    assert msgspec.json.decode(inspected, type=ImageInfo).virtual_size
    planned = code(routes["POST /v1/plan"], "json")[0]
    assert msgspec.json.decode(planned, type=PlanReport).plan.wire == "raw"
    classes = code(routes["GET /v1/storageclasses"], "json")[0]
    assert msgspec.json.decode(classes, type=StorageClassList).items[0].default
