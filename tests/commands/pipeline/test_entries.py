"""entries: what dvc.lock has of a stage against params.yaml, the stages before it and the files."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from commands.pipeline.cache import Out, listing_name
from commands.pipeline.entries import Records, differing, settle
from tests.helpers.pipeline import digest, entry


class Chain:
    """a makes data/a, b makes metrics/b.json of it, and c makes data/c of the folder metrics."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.params = {"seed": 1}
        self.listed = listing_name({"b.json": digest("b")})
        for name, text in {
            "data/a/one": "1",
            "data/a/two": "2",
            "metrics/b.json": "b",
            "data/c": "c",
        }.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

        self.folder = listing_name({"one": digest("1"), "two": digest("2")})
        self.lock = {
            "a": entry({"data/a": self.folder}, seed=1),
            "b": entry(
                {"metrics/b.json": digest("b")}, {"data/a": self.folder, "code.py": digest("x")}
            ),
            "c": entry({"data/c": digest("c")}, {"metrics": self.listed}),
        }
        self.lock["a"]["outs"][0] |= {"size": 2, "nfiles": 2}

    def done(self, agrees: bool = False) -> str:
        """Names of the stages that are done, or that agree with what is before them."""
        outs = [
            Out(stage, out["path"], out["md5"], stage != "b")
            for stage in self.lock
            for out in self.lock[stage]["outs"]
        ]
        records = Records(self.root, self.lock, outs, self.params, lambda: self.root / "cache")
        return "".join(
            name for name in self.lock if getattr(records(name), "agrees" if agrees else "done")
        )


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path)


def test_a_stage_is_done_if_all_before_it_is(chain: Chain) -> None:
    assert chain.done() == "abc"
    chain.params["seed"] = 2
    assert chain.done() == "", "a parameter of the first has changed: the others wait for it"


def test_a_stage_is_not_done_if_one_before_it_has_made_something_else(chain: Chain) -> None:
    """As when prepare has read other data: the entries of the others are still of the old ones."""
    chain.lock["a"]["outs"][0]["md5"] = listing_name({"one": digest("3")})
    assert chain.done() == "a"

    chain.lock["b"]["deps"][0]["md5"] = chain.lock["a"]["outs"][0]["md5"]
    chain.lock["b"]["outs"][0]["md5"] = digest("B")
    (chain.root / "metrics/b.json").write_text("B")
    assert chain.done() == "ab", "c was made from the folder as it was before"

    chain.lock["c"]["deps"][0]["md5"] = listing_name({"b.json": digest("B")})
    assert chain.done() == "abc"


def test_a_stage_is_not_done_without_its_outputs(chain: Chain) -> None:
    """In the workspace or in the cache, with a folder's list; metrics only in the workspace."""
    (chain.root / "data/a/two").unlink()
    assert (chain.done(), chain.done(agrees=True)) == ("", "abc"), (
        "half of a folder, as of a stage that was stopped"
    )

    kept = chain.root / "cache/files/md5"
    files = {
        chain.folder: json.dumps(
            [{"relpath": n, "md5": digest(t)} for n, t in (("one", "1"), ("two", "2"))]
        )
    }

    for name, text in (files | {digest("1"): "1", digest("2"): "2"}).items():
        assert chain.done() == "", "not all of it is there yet"
        (kept / name[:2]).mkdir(parents=True, exist_ok=True)
        (kept / name[:2] / name[2:]).write_text(text)

    assert chain.done() == "abc"

    (chain.root / "data/c").unlink()
    assert chain.done() == "ab"

    (chain.root / "metrics/b.json").write_text("another one's")
    assert chain.done() == "a"


def test_params_are_compared_by_their_paths() -> None:
    entry = {"params": {"params.yaml": {"a.b": {"c": 1}, "x": [1, 2], "gone": None}}}
    assert differing(entry, {"a": {"b": {"c": 1}}, "x": [1, 2]}) == ()
    assert differing(entry, {"a": {"b": {"c": 2}}, "x": [1]}) == ("a.b", "x")
    assert differing({}, {}) == ()


def test_half_a_lock_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dvc.lock"
    begun = time.time()
    path.touch()
    settle(path)

    assert time.time() - begun + 0.01 >= 0.3

    os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits for nothing"))
    settle(path)
