"""The words of the page: each language has all of them, and the page uses no other."""

import re
from importlib import resources
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from importer import errors
from importer.model import Phase, Problem, StepName, Wire

WEB = Path(str(resources.files("importer.web")))
LANGUAGES = ("en", "zh-CN")
OURS = [p for p in WEB.rglob("*.js") if "vendor" not in p.parts and p.stem not in LANGUAGES]

LITERAL = re.compile(r"""["`]([a-z0-9]+(?:\.[A-Za-z0-9+-]+)+)["`]""")
"""A whole key. Names of files begin with a dot or a slash."""

BEGUN = re.compile(r"`([a-z0-9]+\.(?:[A-Za-z0-9]+\.)*)\$\{[^}]+\}`")
"""A key whose end is put in."""


PLAIN = {"activity.whose", "backend.cdi", "do.to", "image.of", "image.uid"}
PLAIN |= {"import.tab.url", "import.url"}
"""Words that are the same to everybody."""


def words(language: str) -> dict[str, list[str]]:
    """Return the texts of each key: one, or those of its plural forms."""
    text = (WEB / "i18n" / f"{language}.js").read_text()
    lines = re.findall(r'^  "([^"]+)": (.+),$', text, re.MULTILINE)
    return {key: re.findall(r'"((?:[^"\\]|\\.)*)"', value) for key, value in lines}


def names(texts: list[str]) -> set[str]:
    """Return the placeholders in *texts*."""
    return set(re.findall(r"\{(\w+)\}", "".join(texts)))


def used() -> tuple[set[str], set[str]]:
    """Return the keys that the page's code has whole, and how those begin that it puts together."""
    text = "".join(path.read_text() for path in OURS)
    groups = {key.partition(".")[0] for key in words("en")}
    whole = {key for key in LITERAL.findall(text) if key.partition(".")[0] in groups}
    return whole, {start for start in BEGUN.findall(text) if start.partition(".")[0] in groups}


def test_the_languages_have_the_same_words() -> None:
    """No key is missing in a language, none is empty, and each puts the same things in."""
    english, chinese = words("en"), words("zh-CN")
    assert list(english) == list(chinese)
    assert all(text for texts in (*english.values(), *chinese.values()) for text in texts)
    odd = {key for key in english if names(english[key]) != names(chinese[key])}
    assert odd == set()


def test_the_chinese_is_chinese() -> None:
    """Only names and signs have no Chinese character in them."""
    plain = {key for key, texts in words("zh-CN").items() if not han(texts)}
    assert plain == PLAIN


def han(texts: list[str]) -> bool:
    """Return whether there is a Chinese character in *texts*."""
    return any("\u4e00" <= letter <= "\u9fff" for text in texts for letter in text)


def test_every_word_that_is_used_is_there() -> None:
    """A key in the code that no language has would be shown as it is."""
    whole, begun = used()
    there = set(words("en"))
    assert whole - there == set()
    assert {start for start in begun if not any(key.startswith(start) for key in there)} == set()


def test_no_word_is_there_for_nothing() -> None:
    """What the page says no more is not translated either."""
    whole, begun = used()
    idle = {key for key in words("en") if key not in whole and not key.startswith(tuple(begun))}
    assert idle == set()


@pytest.mark.parametrize(
    ("start", "ends"),
    [
        ("phase.", [phase.value for phase in Phase]),
        ("side.", get_args(msgspec.structs.fields(Problem)[1].type)),
        ("wire.", get_args(Wire)),
        ("classes.rate.", get_args(StepName)),
        ("backend.", ["local", "cdi", "backingimage"]),
    ],
)
def test_the_service_says_nothing_without_a_word(start: str, ends: list[str]) -> None:
    """Each value that an answer may have has its word."""
    assert {start + end for end in ends} <= set(words("en"))


def test_every_error_has_its_advice() -> None:
    """For each slug the page says what to do, and for no other."""
    classes: list[type[errors.ImporterError]] = [errors.ImporterError]
    for one in classes:
        classes += one.__subclasses__()
    slugs = {one.slug for one in classes}
    told = {key.removeprefix("advice.") for key in words("en") if key.startswith("advice.")}
    assert slugs <= told
    assert told - slugs <= {"unreachable", "unexpected-answer", "file-unreadable"}
