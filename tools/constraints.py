"""The versions that the project is tested with: `python -m tools.constraints --write`.

constraints.txt names every package that the project needs, directly or through others, in the
version that is installed here. `pip install -c constraints.txt .` takes these versions.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "constraints.txt"
LEFT_OUT = ("bench", "timm")
"""Extras whose packages are not pinned: what the benchmarks compare with, and nets of timm."""

CUDA = ("cuda-", "nvidia-", "triton")
"""What torch brings for CUDA. Other builds of the same torch need others, and torch pins its own."""

HEAD = """\
# The versions of the tested environment, for pip install -c constraints.txt. Made by
# python -m tools.constraints --write; CONTRIBUTING.md says how to renew it.
"""


def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    read: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return read


def direct(said: Mapping[str, Any]) -> list[Requirement]:
    """What pyproject.toml asks for, with every extra but those left out.

    Args:
        said: the table `project`.
    """
    lines = list(said["dependencies"])
    for extra, needs in said.get("optional-dependencies", {}).items():
        if extra not in LEFT_OUT:
            lines += needs

    own = canonicalize_name(said["name"])
    wanted = [Requirement(line) for line in lines]
    return [each for each in wanted if canonicalize_name(each.name) != own]


def needs(name: str, extra: str) -> list[Requirement]:
    """What an installed package needs here for one of its extras, "" for none.

    Raises:
        metadata.PackageNotFoundError: it is not installed.
    """
    listed = [Requirement(line) for line in metadata.distribution(name).requires or []]
    here = [
        each for each in listed if each.marker is None or each.marker.evaluate({"extra": extra})
    ]
    if name == "torch":
        return [each for each in here if not each.name.startswith(CUDA)]

    return here


def installed(wanted: Iterable[Requirement]) -> tuple[dict[str, str], list[str]]:
    """What is installed of these requirements, and of all that they need.

    Returns:
        versions: normalised name -> version, without a local part such as +cu130.
        missing: normalised names of what is not installed, sorted.
    """
    versions: dict[str, str] = {}
    missing: set[str] = set()
    seen: set[tuple[str, str]] = set()
    queue = list(wanted)

    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue

            seen.add((name, extra))
            try:
                queue += needs(name, extra)
                versions[name] = Version(metadata.version(name)).public
            except metadata.PackageNotFoundError:
                missing.add(name)

    return versions, sorted(missing)


def text_of(versions: Mapping[str, str]) -> str:
    """The text of constraints.txt, one package a line, sorted."""
    return HEAD + "".join(f"{name}=={versions[name]}\n" for name in sorted(versions))


def pinned(text: str) -> dict[str, str]:
    """Versions by name, from the text of constraints.txt.

    Raises:
        ValueError: a line is not `name==version`.
    """
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue

        name, sign, version = line.partition("==")
        if not sign or name != canonicalize_name(name) or version != Version(version).public:
            raise ValueError(f"constraints.txt: got {line!r}, allowed is name==version")
        found[name] = version

    return found


def differences(versions: Mapping[str, str], pins: Mapping[str, str]) -> list[str]:
    """A line for each installed package that is not in constraints.txt in this version.

    Args:
        versions: what is installed, as of `installed`.
        pins: what constraints.txt says.
    """
    lines = []
    for name, version in sorted(versions.items()):
        if name not in pins:
            lines.append(f"{name}: {version} is installed, constraints.txt does not name it")
        elif version != pins[name]:
            lines.append(f"{name}: {version} is installed, constraints.txt has {pins[name]}")

    return lines


def lowest(wanted: Iterable[Requirement]) -> dict[str, str]:
    """The lower bound of each requirement that has one, the highest if it is named repeatedly."""
    found: dict[str, Version] = {}
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        for each in requirement.specifier:
            if each.operator in (">=", "=="):
                bound = Version(each.version)
                found[name] = max(bound, found.get(name, bound))

    return {name: str(version) for name, version in found.items()}


def main() -> None:
    """Write constraints.txt, compare it with what is installed, or print the lower bounds."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.constraints", description=(__doc__ or "").split("\n")[0]
    )
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--write", action="store_true", help="write what is installed here")
    choice.add_argument("--check", action="store_true", help="exit with 1 where they differ")
    choice.add_argument("--lowest", action="store_true", help="print pyproject's lower bounds")
    chosen = parser.parse_args()

    said = project()
    wanted = direct(said)
    if chosen.lowest:
        print(text_of(lowest(wanted)).removeprefix(HEAD), end="")
        return

    versions, missing = installed(wanted)
    if chosen.write:
        if missing:
            sys.exit(f"error: not installed: {', '.join(missing)}; see CONTRIBUTING.md")
        FILE.write_text(text_of(versions), encoding="utf-8")
        return

    # A package of an extra may be absent, but not one that the project always needs.
    always = {canonicalize_name(Requirement(each).name) for each in said["dependencies"]}
    wrong = [f"{name}: not installed" for name in missing if name in always]
    wrong += differences(versions, pinned(FILE.read_text(encoding="utf-8")))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
