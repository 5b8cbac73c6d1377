"""benchmarks.parts: the time of a run is taken apart without a second lost."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import matplotlib.image
import pytest

from benchmarks import parts
from benchmarks.parts import COLORS, Ran, Watch, filled, split, table, watched
from stages.trials.folder import TrialFolder
from tools.pocket import write_params

RAN = [
    Ran("prepare", 2.0, 5.0, 1.0),
    Ran("teachers", 6.0, 26.0, 4.0),
    Ran("students@mlp1-60k", 27.0, 30.0, 9.0),
    Ran("draw", 32.0, 40.0, 3.0),
]


def test_watch_tells_commands_from_other_children() -> None:
    watch = Watch()
    watch.look(0.1, True)  # a child before any stage
    watch.line(0.2, "import time:      5000 |       6000 | dvc")
    watch.line(1.0, "Running stage 'students@conv1-60k':\n")
    watch.look(1.1, True)
    watch.line(1.2, "import time: self [us] | cumulative | imported package")
    watch.look(1.25, True)
    watch.line(1.3, "import time:    250000 |     900000 |   torch")
    watch.look(2.0, True)
    watch.look(2.1, False)
    watch.line(2.05, "import time:     50000 |      50000 | late")
    watch.line(2.5, "import time:   7000000 |    7000000 | of DVC")

    # The next one is seen before its line is read.
    watch.look(3.0, True)
    watch.line(3.1, "Running stage '../dvc.yaml:draw':")
    watch.look(3.2, True)
    watch.look(3.3, False)
    assert watch.ran == [
        Ran("students@conv1-60k", 1.1, 2.0, pytest.approx(0.3)),
        Ran("draw", 3.2, 3.2),
    ]


def test_parts_of_a_run_by_hand() -> None:
    groups = split(RAN, 43.0, {"teachers": 12.0, "students@mlp1-60k": 1.0}, {"teachers": 1.5})
    assert list(groups) == ["data", "teachers", "students", "report"]
    assert groups["data"] == known(DVC=2.0, imports=1.0, **{"data and labels": 2.0})
    assert groups["teachers"] == known(
        DVC=1.0, training=12.0, testing=1.5, imports=4.0, **{"processes, searches": 2.5}
    )
    assert groups["students"] == known(DVC=1.0, training=1.0, imports=2.0)
    assert groups["report"] == known(DVC=2.0 + 3.0, imports=3.0, **{"tables, pictures": 5.0})
    assert sum(sum(each.values()) for each in groups.values()) == pytest.approx(43.0)


def known(**seconds: float) -> dict[str, float]:
    return {**dict.fromkeys(COLORS, 0.0), **seconds}


def test_table_adds_up() -> None:
    lines = table(split(RAN, 43.0, {"teachers": 12.0}, {})).splitlines()
    assert lines[0] == "| part | data | teachers | students | report | all, s | share |"
    assert "| training |  | 12.0 |  |  | 12.0 | 28 % |" in lines
    assert lines[-1] == "| all | 5.0 | 21.0 | 4.0 | 13.0 | 43.0 | 100 % |"


def test_trials_at_a_time_divide_their_seconds(tmp_path: Path) -> None:
    write_params(tmp_path, {"execution.engine": "local", "execution.slots": 2})
    started = 1_000_000.0
    for stage, ended in {
        "teachers": (10.0, 10.0, 13.0, 13.0),
        "hard/conv2-180k": (33.0,),
        "students/conv1-60k": (1.0, 51.0),  # one before its stage began, one that had begun before
    }.items():
        for trial, at in enumerate(ended):
            folder = TrialFolder(tmp_path / "work" / stage / "key", trial)
            folder.finish({"lr": 0.1}, 1, {}, 3.0)
            os.utime(folder.folder / "seconds.json", (started + at, started + at))

    ran = [Ran("prepare", 0, 5), Ran("teachers", 6, 14), Ran("hard@conv2-180k", 20, 34)]
    ran.append(Ran("students@conv1-60k", 49, 60))
    found = parts.training(tmp_path, ran, started)
    assert found == {"teachers": 6.0, "hard@conv2-180k": 3.0, "students@conv1-60k": 1.0}


def test_a_process_that_stands_in_for_dvc_is_watched(tmp_path: Path) -> None:
    code = """
import subprocess, sys, time
time.sleep(0.3)
print("Running stage 'prepare':", flush=True)
subprocess.run([sys.executable, "-c", "import json, time; time.sleep(0.4)"])
time.sleep(0.3)
raise SystemExit(int(sys.argv[1]))
"""
    ran, whole_s = watched([sys.executable, "-c", code, "0"], tmp_path)
    assert [each.stage for each in ran] == ["prepare"]
    assert 0.3 < ran[0].began < ran[0].ended < whole_s  # a busy machine reads its lines late
    assert 0 < ran[0].imports_s < whole_s

    with pytest.raises(RuntimeError, match="Running stage 'prepare'"):
        watched([sys.executable, "-c", code, "3"], tmp_path)


def test_page_has_its_place_and_says_where_it_was_measured() -> None:
    facts = {"scale": "smoke", "commit": "abc", "processor": "P", "cores": 2, "load_before": 0.25}
    found = {"environment": facts, "seconds": split(RAN, 43.0, {}, {})}
    page = filled(parts.PAGE.read_text(), found)
    assert "Scale `smoke` at commit abc, P, 2 cores, load before the run 0.2; n = 1." in page
    assert table(found["seconds"]) in page and "| part | is |" in page
    assert filled(page, found) == page
    with pytest.raises(ValueError, match="everyday.md"):
        filled("nothing", found)


def test_page_shows_what_was_kept() -> None:
    if not parts.FACTS.is_file():
        assert "Not measured yet." in parts.PAGE.read_text()
        return
    text = parts.PAGE.read_text()
    assert filled(text, json.loads(parts.FACTS.read_text())) == text


def test_picture_has_a_colour_for_each_part(tmp_path: Path) -> None:
    seconds = split(RAN, 43.0, {"teachers": 12.0, "students@mlp1-60k": 1.0}, {"teachers": 1.5})
    parts.draw(seconds, tmp_path / "parts.png")
    pixels = (255 * matplotlib.image.imread(tmp_path / "parts.png")[:, :, :3]).round().astype(int)
    seen = {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in pixels.reshape(-1, 3)[::7]}
    assert set(COLORS.values()) <= seen
