"""Which clones share a cache of DVC.

DVC does not keep such a list, and its garbage collection removes what another clone needs. So a
clone whose cache lies outside of it leaves its path there, in clones/, when it runs a stage. The
configuration is read without DVC here, since this happens at every stage.
"""

from __future__ import annotations

import configparser
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from stages.store.atomic import write_text

NAMES = "clones"
"""Folder in a shared cache with a file for each clone, which holds its path."""


def shared_cache(root: Path) -> Path | None:
    """The cache that this clone is told to use, if that lies outside of it; None if not."""
    told = None
    for file in configurations(root):
        told = _cache_of(file) or told

    if told is None or told.is_relative_to(root.resolve()):
        return None
    return told


def configurations(root: Path) -> Iterator[Path]:
    """Files of DVC's configuration; a later one wins."""
    home = Path(os.path.expanduser("~"))
    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR")
    if system:
        yield Path(system) / "config"
    else:
        for place in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep):
            yield Path(place) / "dvc" / "config"

    xdg = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "dvc"
    yield Path(os.environ.get("DVC_GLOBAL_CONFIG_DIR") or xdg) / "config"
    yield root / ".dvc" / "config"
    yield root / ".dvc" / "config.local"


def _cache_of(file: Path) -> Path | None:
    """The cache directory that a configuration names; a relative path begins at its folder."""
    parser = configparser.ConfigParser(
        strict=False, interpolation=None, inline_comment_prefixes=("#",)
    )
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
        told = parser.get("cache", "dir", fallback="").strip().strip("'\"")
    except (OSError, UnicodeError, configparser.Error):  # DVC says what is wrong with it
        return None
    if not told or "://" in told:
        return None
    return (file.parent / os.path.expanduser(told)).resolve()


def register(root: Path, cache: Path | None = None) -> None:
    """Leave the path of this clone in the cache that it shares, if it shares one.

    Args:
        root: of the clone.
        cache: that it shares; by default as its configuration says.
    """
    cache = cache or shared_cache(root)
    if cache is None:
        return

    here = root.resolve()
    name = cache / NAMES / hashlib.sha256(os.fsencode(here)).hexdigest()[:16]
    try:
        if name.is_file():
            return
        if not name.parent.is_dir():
            name.parent.mkdir(parents=True)
            name.parent.chmod(cache.stat().st_mode & 0o7777)  # others share it too
        write_text(name, f"{here}\n")
    except OSError as error:
        print(
            f"note: {name} cannot be written ({error.strerror}): 'commands.gc' will not know this clone"
        )


def registered(cache: Path) -> list[Path]:
    """The clones that have left their path in a cache, sorted; also those that are gone."""
    return sorted(
        Path(file.read_text(encoding="utf-8").rstrip("\n"))
        for file in (cache / NAMES).glob("*")
        if not file.name.startswith(".")
    )
