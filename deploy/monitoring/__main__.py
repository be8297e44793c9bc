"""Writes the rules and the dashboard that are kept beside this file, or prints one of them.

python -m deploy.monitoring                                   all files, as they are committed
python -m deploy.monitoring --runbooks https://example/docs/runbooks/ importer.rules.yaml
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from deploy.monitoring.dashboard import dashboard_file
from deploy.monitoring.rules import RUNBOOKS, prometheus_rule, rules_file

FOLDER = Path(__file__).parent

FILES: dict[str, Callable[[str], str]] = {
    "importer.rules.yaml": rules_file,
    "prometheusrule.yaml": prometheus_rule,
    "dashboard.json": lambda _: dashboard_file(),
}
"""What is made, by the beginning of the runbooks' links."""


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runbooks", default=RUNBOOKS, help="what links to runbooks begin with")
    parser.add_argument("file", nargs="?", choices=FILES, help="print this one, write none")
    given = parser.parse_args()
    if given.file:
        print(FILES[given.file](given.runbooks), end="")
        return
    for name, made in FILES.items():
        (FOLDER / name).write_text(made(given.runbooks))


if __name__ == "__main__":
    main()
