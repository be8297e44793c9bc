"""The recipe of the container image. Building it needs a registry, so it is read here."""

import re
import shlex
from pathlib import Path

from tests.deploy.kustomize import containers, of_kind, overlay

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "deploy/container/Containerfile").read_text().replace("\\\n", " ")
STEPS = [line for line in RECIPE.splitlines() if line and not line.startswith("#")]
NEEDED = (ROOT / "deploy/container/Containerfile.dockerignore").read_text().splitlines()


def steps(word: str) -> list[list[str]]:
    """Return the arguments of each step of a kind."""
    return [shlex.split(step)[1:] for step in STEPS if step.split()[0] == word]


def test_what_is_copied_is_there_and_let_in() -> None:
    """Every file that a step copies exists, and the ignore file lets it through."""
    copied = [name for step in steps("COPY") if "--from=build" not in step for name in step[:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    open_ = [line[1:] for line in NEEDED if line.startswith("!")]
    assert [
        name for name in copied if not any(Path(name).is_relative_to(one) for one in open_)
    ] == []
    assert [
        name for name in open_ if not any(Path(one).is_relative_to(name) for one in copied)
    ] == []


def test_package_needs_no_more_files() -> None:
    """What pyproject.toml reads while it is built (readme, licence) is copied too."""
    (names,) = (step[:-1] for step in steps("COPY") if "pyproject.toml" in step)
    text = (ROOT / "pyproject.toml").read_text()
    named = re.findall(r'^(?:readme|license-files) = \[?"(.+?)"', text, re.MULTILINE)
    assert len(named) == 2
    assert set(named) <= set(names)


def test_base_is_a_plain_name_that_can_be_replaced() -> None:
    """No registry is chosen for whoever builds."""
    assert steps("ARG") == [["BASE=debian:12-slim"]]
    assert [step[0] for step in steps("FROM")] == ["${BASE}", "packages", "packages"]


def test_user_is_that_of_the_manifests() -> None:
    """The volume's group, the pod's user and the image's are one, and not root."""
    (user,) = steps("USER")
    for name in ("harvester", "kubevirt-longhorn"):
        pod = of_kind(overlay(name), "Deployment")["spec"]["template"]["spec"]["securityContext"]
        assert user == [f"{pod['runAsUser']}:{pod['runAsGroup']}"]
        assert pod["fsGroup"] == pod["runAsUser"] > 0


def test_entry_is_the_command_and_its_port_is_the_manifests() -> None:
    """What the manifests give as arguments are those of the entry point's command."""
    assert [step for step in STEPS if step.startswith("ENTRYPOINT")] == ['ENTRYPOINT ["importer"]']
    for container in containers(overlay("harvester")):
        assert "command" not in container
        assert container["args"][0] == "serve"
        assert [[str(one["containerPort"])] for one in container["ports"]] == steps("EXPOSE")
