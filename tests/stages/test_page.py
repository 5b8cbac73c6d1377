"""The report page: same bytes, nothing from elsewhere, clear errors; in a browser, usable."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image

from stages import page
from stages.store.predictions import read_test_logits, write_test_logits
from stages.store.prepared import read_test
from tests.helpers.page_run import DATA, EXTRA, NASTY, edit_params, make
from tools.pocket import ROOT

PAGE = "plots/report.html"
WIDTHS = (360, 1280)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes with names that mean something elsewhere, ablations, retrained nets."""
    return paged(make(tmp_path_factory.mktemp("images"), NASTY, (16, 16, 3), sets=EXTRA))


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of vectors, no row with convolution, nothing trained again, nothing varied."""
    plain = {
        "students.rows": ["mlp1", "mlp2"],
        "ablations": {"rows": [], "budgets": []},
        "hard.rows": ["conv2"],
    }
    return paged(
        make(tmp_path_factory.mktemp("vectors"), ["yes", "no"], (5, 7), again=0, changes=plain)
    )


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More classes than a matrix has room for."""
    none = {"ablations": {"rows": [], "budgets": []}, "students.budgets": ["60k"]}
    classes = [f"class {i}" for i in range(130)]
    return paged(
        make(tmp_path_factory.mktemp("many"), classes, (8, 8, 3), tests=260, again=0, changes=none)
    )


def paged(folder: Path) -> Path:
    """The folder with its page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        page.main()
    return folder


class Reader(HTMLParser):
    """Elements with their attributes, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            self.scripts[-1] += data

    @property
    def charts(self) -> dict[str, list[dict[str, Any] | None]]:
        """What the page draws."""
        return json.loads(self.scripts[0])


def read(folder: Path) -> str:
    return (folder / PAGE).read_text(encoding="utf-8")


# the file


@pytest.mark.middle
def test_equal_inputs_give_the_same_bytes(images: Path, tmp_path: Path) -> None:
    """In another process, with other hashes of strings, in another folder."""
    folder = shutil.copytree(images, tmp_path / "copy")
    (folder / PAGE).unlink()
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONHASHSEED": "11", "PYTHONPATH": paths}
    command = [sys.executable, "-m", "stages.page"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    both = [(folder / f"metrics/table{number}.md").read_text(encoding="utf-8") for number in (1, 2)]
    assert done.stdout.startswith(f"{both[0]}\n{both[1]}\n") and both[0].startswith("**Table 1.**")
    assert re.fullmatch(
        r"page: plots/report.html, \d\.\d MB\n", done.stdout.removeprefix(f"{both[0]}\n{both[1]}\n")
    )
    assert (folder / PAGE).read_bytes() == (images / PAGE).read_bytes()


def test_an_ensemble_at_chance_is_said(images: Path, tmp_path: Path) -> None:
    assert "at chance" not in read(images)
    folder = shutil.copytree(images, tmp_path / "copy")
    path = folder / "metrics/ensemble.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "test_accuracy": 0.1}))
    assert "The ensemble is at chance: it is right on 10.0" in read(paged(folder))


def test_nothing_is_loaded_from_elsewhere(images: Path) -> None:
    text = read(images)
    elements = Reader(text).elements
    for tag, attributes in elements:
        for name in ("src", "href", "data", "poster", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (
                f"<{tag} {name}={attributes[name]}>"
            )
    policy = next(a["content"] for tag, a in elements if tag == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none';") and "http" not in policy
    assert "@import" not in text and not re.findall(r"url\((?!#)", text.split("<script")[0])
    assert [tag for tag, _ in elements].count("script") == 3, (
        "the charts' data, Plotly, the page's own"
    )


def test_names_are_text_and_never_markup(images: Path, vectors: Path) -> None:
    """A page with nasty names has the elements of one with harmless names, and no event handler."""
    reader = Reader(read(images))
    other = Reader(read(vectors))
    kinds = {tag for tag, _ in reader.elements}
    assert (
        kinds <= {tag for tag, _ in other.elements} | {"small", "th", "svg", "circle"}
        and "i" not in kinds
    )
    assert not [a for _, a in reader.elements if any(name.startswith("on") for name in a)]
    shown = {
        entry["x"][i] for entry in (reader.charts["confusion"][0]["data"][0],) for i in range(10)
    }
    assert "&lt;script&gt;…" in shown or any(name.startswith("&lt;script&gt;") for name in shown)


@pytest.mark.parametrize("kind", ["images", "vectors", "many"])
def test_every_chart_is_one_that_plotly_knows(kind: str, request: pytest.FixtureRequest) -> None:
    charts = Reader(read(request.getfixturevalue(kind))).charts
    for name, variants in charts.items():
        for chart in filter(None, variants):
            go.Figure({"data": chart["data"], "layout": chart["layout"]})
            groups = {trace.get("legendgroup") for trace in chart["data"]}
            assert {entry["group"] for entry in chart["legend"]} <= groups, name
    always = {
        "figure1",
        "course",
        "importance",
        "parallel",
        "agreement",
        "divergence",
        "calibration",
        "confusion",
    }
    assert set(charts) == always | ({"varied-0", "severity-0"} if kind == "images" else set())
    assert all(chart is None for chart in charts["confusion"]) == (kind == "many")


def test_captions_say_which_trials_they_show(images: Path) -> None:
    """Table 2's numbers are not points of Figure 1's solid lines, nor are its hard labels means."""
    text = read(images)
    assert "the best of them, which is what Table 2 shows" in text
    assert "trained on the true labels, the best trial alone and not a mean" in text
    for table in (text, (images / "metrics/table2.md").read_text(encoding="utf-8")):
        caption = re.search(r"Table 2\.(?:\*\*)? Test accuracy.*", table)
        assert (
            caption
            and "the best trial of each by validation error" in caption[0]
            and "Figure 1" in caption[0]
        )
    assert (
        "the fifth, or the last where there are fewer" in text
        and "Fifth, or last of fewer</th>" in text
    )
    assert "last of them" not in text and ">Best in trial</th>" in text
    assert "of each search the best trial" in (images / "metrics/table1.md").read_text(
        encoding="utf-8"
    )


def test_epochs_are_counted_from_one(images: Path) -> None:
    text = read(images)
    assert "all students see in the first 2 of 20 epochs" in text
    assert re.findall(r'<th scope="col">(original|epoch \d+)</th>', text) == [
        "original",
        "epoch 1",
        "epoch 2",
    ]


def test_a_net_without_mistakes_announces_none(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(images, tmp_path / "copy")
    right = 9 * np.eye(10, dtype=np.float32)[read_test(folder / "data/prepared")[1]]
    monkeypatch.setattr(page, "best_outputs", lambda *_: right)
    monkeypatch.setattr(page, "ensemble_outputs", lambda *_: right)
    text = read(paged(folder))
    assert "gets 0 of 300 test images wrong.</p>" in text and "Shown are those" not in text
    assert "Shown are those of which it is surest" in read(images)


def test_what_is_not_there_is_said(images: Path, vectors: Path, many: Path) -> None:
    assert "Nothing was trained again" in read(vectors) and "Nothing was trained again" not in read(
        images
    )
    assert 'id="ablations"' in read(images) and 'id="ablations"' not in read(vectors)
    assert "so it says nothing about nets with it" in read(
        vectors
    ) and "Vectors have no other views" in read(vectors)
    assert "there are 130 classes, and more than 100 cannot be told apart" in read(many)
    assert "commit 0123456789 with local changes" in read(
        images
    ) and "students@gone-1M" not in read(images)


def test_cards_are_the_students_surest_mistakes(images: Path) -> None:
    tables = [
        path for path in (images / "metrics/students").glob("*k.csv") if path.name.count("-") == 1
    ]
    best = min(tables, key=lambda path: pd.read_csv(path)["validation_error"].min())
    trial = int(pd.read_csv(best).sort_values("validation_error")["trial"].iloc[0])
    logits = read_test_logits(images / "data/students" / best.stem / "test.safetensors")["trials"][
        trial
    ]
    _, labels, _ = read_test(images / "data/prepared")
    numbers = [int(number) for number in re.findall(r"<caption>No\. (\d+): <b>", read(images))]
    assert len(numbers) == len(set(numbers)) == 24
    wrong = np.flatnonzero(logits.argmax(1) != labels)
    assert set(numbers) <= set(wrong.tolist())
    assert f"gets {len(wrong)} of 300 test images wrong" in read(images)


def test_without_the_record_of_environments(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(images, tmp_path / "copy")
    (folder / "metrics/environment.json").unlink()
    monkeypatch.chdir(folder)
    page.main()
    assert "environment.json records nothing of this run" in read(
        folder
    ) and "commit 0123456789" not in read(folder)


def test_parameters_without_those_of_the_machine(images: Path) -> None:
    text = read(images)
    assert (
        "students.sweep.trials" in text
        and "checkpoint_seconds" not in text
        and "execution.slots" not in text
    )
    assert "digits &amp; &lt;i&gt;clutter&lt;/i&gt; &#34;raw&#34;" in text


# what is missing or damaged


def rewrite(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    """Change a text file."""
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


def other_outputs(folder: Path) -> None:
    """Outputs of another run for every student."""
    for path in (folder / "data/students").glob("*/test.safetensors"):
        nets = read_test_logits(path)
        path.unlink()
        write_test_logits(
            path, {"trials": {trial: net + 1 for trial, net in nets["trials"].items()}}
        )


def other_ensemble(folder: Path) -> None:
    """An ensemble for fewer images."""
    path = folder / "data/ensemble/test.safetensors"
    nets = read_test_logits(path)
    path.unlink()
    write_test_logits(path, {"members": {i: net[:-1] for i, net in nets["members"].items()}})


def first_effect(text: str) -> str:
    """An effect that is a word."""
    found = json.loads(text)
    next(iter(next(iter(found["claims"].values()))["effects"].values()))["low_pct"] = "low"
    return json.dumps(found)


SAMPLES = "data/samples/augmented.safetensors"
FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no table": (
        lambda f: (f / "metrics/table1.csv").unlink(),
        "metrics/table1.csv not found: run 'dvc repro'",
    ),
    "no column": (
        rewrite("metrics/fidelity.csv", lambda t: t.replace("kl", "lk", 1)),
        "metrics/fidelity.csv is damaged (no column 'kl')",
    ),
    "no number": (
        rewrite("metrics/calibration.csv", lambda t: t.replace("0.", "zero", 1)),
        "metrics/calibration.csv is damaged (Unable to parse string",
    ),
    "no cell": (
        lambda f: (f / "metrics/students/mlp1-60k.csv").unlink(),
        "metrics/students/mlp1-60k.csv not found",
    ),
    "no claims": (lambda f: (f / "metrics/claims.json").unlink(), "metrics/claims.json not found"),
    "claims cut": (
        rewrite("metrics/claims.json", lambda t: t[:99]),
        "metrics/claims.json is damaged",
    ),
    "claim of words": (
        rewrite("metrics/claims.json", first_effect),
        "claims.json is damaged (an effect is not a number)",
    ),
    "environment": (
        rewrite("metrics/environment.json", lambda t: "{}"),
        "metrics/environment.json is damaged",
    ),
    "other cells": (
        rewrite("metrics/figure1.csv", lambda t: t.replace("mlp2,60k", "mlp3,60k", 1)),
        "figure1.csv and params.yaml differ in the cell mimic mlp2 60k: run 'dvc repro tabulate'",
    ),
    "other nets": (
        rewrite("metrics/calibration.csv", lambda t: t.replace("ensemble", "assembly")),
        "calibration.csv has 'assembly', fidelity.csv has not",
    ),
    "other classes": (
        rewrite("metrics/confusion.csv", lambda t: t.replace("NA", "NaN")),
        "confusion.csv has the class 'NaN', which data/prepared has not",
    ),
    "other outputs": (other_outputs, "-60k.csv: take both from the same run, with 'dvc checkout"),
    "other ensemble": (
        other_ensemble,
        "has no outputs for the 300 test images and 10 classes of data/prepared",
    ),
    "no outputs": (lambda f: shutil.rmtree(f / "data/students"), "test.safetensors not found"),
    "no Table 2": (
        lambda f: (f / "metrics/table2.md").unlink(),
        "metrics/table2.md not found: run 'dvc repro'",
    ),
    "no samples": (
        lambda f: shutil.copy(f / "data/ensemble/test.safetensors", f / SAMPLES),
        "augmented.safetensors holds no samples: run 'dvc repro --force augment'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_clear_line(
    fault: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(images, tmp_path / "copy")
    (folder / PAGE).unlink()
    harm, words = FAULTS[fault]
    harm(folder)
    monkeypatch.chdir(folder)
    with pytest.raises((ValueError, OSError), match=re.escape(words)) as caught:
        page.main()
    assert "\n" not in str(caught.value) and not (folder / PAGE).exists()


def test_a_misspelled_parameter_is_refused(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(images, tmp_path / "copy")
    edit_params(folder, "draw", "figure_row", 3)
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match="unknown key 'draw.figure_row'"):
        page.main()


# in a browser

CHROMIUM = os.environ.get("MIMICNETS_CHROMIUM") or shutil.which("chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's chromium; tests that need it skip where it is missing."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no playwright: pip install '.[test]'"
    )
    if CHROMIUM is None:
        pytest.skip("no chromium: install it, or name one in MIMICNETS_CHROMIUM")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield found
        found.close()


class Opened:
    """A page in the browser, and what it said and asked for."""

    def __init__(self, browser: Any, folder: Path, width: int, **context: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **context)
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(PATIENCE_MS)
        self.tab.set_default_navigation_timeout(PATIENCE_MS)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.tab.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.tab.on(
            "dialog",
            lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss()),
        )
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.url = (folder / PAGE).as_uri()
        self.tab.goto(self.url)
        if context.get("java_script_enabled", True):
            self.tab.wait_for_function("document.documentElement.dataset.drawn")

    def js(self, code: str) -> Any:
        return self.tab.evaluate(code)


@pytest.fixture(scope="module")
def desk(browser: Any, images: Path) -> Iterator[Opened]:
    """The images' page at the width of a desk."""
    opened = Opened(browser, images, 1280)
    yield opened
    opened.context.close()


@pytest.fixture(scope="module")
def phone(browser: Any, images: Path) -> Iterator[Opened]:
    opened = Opened(browser, images, 360)
    yield opened
    opened.context.close()


@pytest.fixture(params=["desk", "phone"])
def opened(request: pytest.FixtureRequest) -> Opened:
    return request.getfixturevalue(request.param)


MARKS = """[...document.querySelectorAll('.drawing')].filter((each) => !each.hidden).map((each) => [
    each.id, each.querySelectorAll('.scatterlayer path, .barlayer path, .heatmaplayer image').length])"""
WIDE = "[document.documentElement.scrollWidth, window.innerWidth]"


def test_it_is_drawn_in_silence(opened: Opened) -> None:
    assert opened.said == [] and opened.asked == [opened.url]
    marks = dict(opened.js(MARKS))
    assert len(marks) == 10 and all(
        count > 2 for name, count in marks.items() if name != "chart-confusion"
    ), marks
    assert opened.js(
        "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    )


def test_no_page_is_wider_than_its_window(opened: Opened) -> None:
    width, window = opened.js(WIDE)
    assert width <= window
    opened.js("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    width, window = opened.js(WIDE)
    opened.js("document.querySelectorAll('main details').forEach((each) => { each.open = false; })")
    assert width <= window, "with everything unfolded"


OVERLAPS = """() => {
  const found = [];
  for (const plot of document.querySelectorAll('.drawing'))
    for (const kind of ['.xtick text', '.ytick text', '.annotation-text']) {
      const texts = [...plot.querySelectorAll(kind)];
      const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
      boxes.forEach(([one, a], i) => boxes.slice(i + 1).forEach(([two, b]) => {
        if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
          found.push(`${plot.id}: ${one} / ${two}`);
      }));
    }
  return found;
}"""


def test_no_label_lies_on_another(opened: Opened) -> None:
    assert opened.js(OVERLAPS) == []


def test_a_space_stands_before_every_per_cent(opened: Opened, images: Path) -> None:
    """On the page, at its charts' axes and in what is in metrics/ as Markdown."""
    ticks = opened.tab.locator(
        ".drawing .ytick text, .drawing .xtick text, .drawing .cbaxis text"
    ).all_text_contents()
    shares = [text for text in ticks if "%" in text and not text.startswith("%{")]
    assert len(shares) > 20 and all(re.fullmatch(r"\d+(\.\d+)?\u00a0%", text) for text in shares), (
        shares
    )
    written = [path.read_text(encoding="utf-8") for path in (images / "metrics").glob("*.md")]
    for text in (opened.tab.locator("main").inner_text().replace("%{x}", ""), *written):
        assert "\u00a0%" in text and not re.search(r"[^\u00a0]%", text), re.findall(
            r".{20}[^\u00a0]%.*", text
        )
    assert " 3 nets a cell, 95\u00a0% intervals" in "".join(written)


CUT = """() => [...document.querySelectorAll('.drawing')].flatMap((plot) => {
  const edge = plot.getBoundingClientRect();
  return [...plot.querySelectorAll('text')].filter((text) => text.textContent.trim())
    .map((text) => [text.textContent, text.getBoundingClientRect()])
    .filter(([, box]) => box.width && (box.right > edge.right + 1 || box.left < edge.left - 1))
    .map(([words]) => `${plot.id}: ${words}`);
})"""


def test_no_label_is_cut(opened: Opened) -> None:
    assert opened.js(CUT) == []
    bars = opened.tab.locator("#chart-confusion .cbaxis text").all_text_contents()
    assert bars[-1] == "100\u00a0%" and len(bars) == 7


SHADOW = "getComputedStyle(document.querySelector('#tables .scroll'))"


def test_an_edge_beyond_which_there_is_more_has_a_shadow(phone: Opened) -> None:
    """The picture of Table 1's right edge is darker than white until the end is scrolled to."""
    box = phone.tab.locator("#tables .scroll").first
    assert phone.js(f"{SHADOW}.backgroundAttachment") == "local, local, scroll, scroll"

    def edge() -> float:
        pixels = np.asarray(Image.open(io.BytesIO(box.screenshot())).convert("L"), float)
        return float(pixels[:, -4:-2].min(axis=1).mean())

    hidden = edge()
    box.evaluate("(each) => { each.scrollLeft = each.scrollWidth; }")
    end = edge()
    box.evaluate("(each) => { each.scrollLeft = 0; }")
    assert hidden < 225 and end > hidden + 15, (hidden, end)


JUMP = """(id) => {
  document.querySelector(`a[href='#${id}']`).click();
  const place = document.documentElement, top = document.getElementById(id).getBoundingClientRect().top;
  return Math.abs(top) < 40 || place.scrollTop + window.innerHeight >= place.scrollHeight - 2;
}"""


def test_links_within_the_page_lead_somewhere(desk: Opened) -> None:
    desk.tab.emulate_media(reduced_motion="reduce")
    targets = [
        link[1:]
        for link in desk.js(
            "[...document.querySelectorAll('a')].map((a) => a.getAttribute('href'))"
        )
    ]
    assert len(targets) == 17, "the skip link, the summary, fifteen sections"
    for target in targets:
        desk.js("window.scrollTo(0, document.documentElement.scrollHeight / 2)")
        assert desk.tab.evaluate(JUMP, target), target
    assert desk.js("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    desk.tab.emulate_media(reduced_motion="no-preference")
    assert desk.js("getComputedStyle(document.documentElement).scrollBehavior") == "smooth"


STRUCTURE = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const name = (each) => (each.getAttribute('aria-label') || each.textContent || '').trim();
  const titled = (each) => document.getElementById(each.getAttribute('aria-labelledby'));
  const levels = all('h1, h2, h3, h4').map((each) => Number(each.tagName[1]));
  const ids = all('[id]').map((each) => each.id);
  return {
    h1: all('h1').length,
    jumps: levels.filter((level, i) => i && level > levels[i - 1] + 1).length,
    noAlt: all('img:not([alt]), img[alt=""]').length,
    noCaption: all('table').filter((each) => !each.caption || !each.caption.textContent.trim()).length,
    noScope: all('th:not([scope])').length,
    noName: all('button, a, select, summary, section, nav').filter((each) => !name(each)).length,
    noLabel: all('select').filter((each) => !each.labels.length).length,
    twice: ids.filter((id, i) => ids.indexOf(id) !== i),
    dangling: all('[aria-labelledby]').filter((each) => !titled(each)).length,
    landmarks: ['header', 'nav', 'main', 'footer'].map((each) => all(`body > ${each}`).length),
    unnamed: all('.scroll').filter((each) => !each.getAttribute('aria-label')).length,
    unreachable: all('.scroll').filter((each) =>
      (each.scrollWidth > each.clientWidth + 1) !== (each.tabIndex === 0)).length,
    loose: all('.scroll .hidden').filter((each) => !each.offsetParent?.closest('.scroll')).length,
    svg: all('main svg').filter((each) => !each.closest('.drawing, [aria-hidden=true], svg svg')
      && !each.getAttribute('aria-label')).length,
    language: document.documentElement.lang,
  };
}"""


def test_it_can_be_read_without_being_seen(opened: Opened) -> None:
    assert opened.js(STRUCTURE) == {
        "h1": 1,
        "jumps": 0,
        "noAlt": 0,
        "noCaption": 0,
        "noScope": 0,
        "noName": 0,
        "noLabel": 0,
        "twice": [],
        "dangling": 0,
        "landmarks": [1, 1, 1, 1],
        "unnamed": 0,
        "unreachable": 0,
        "svg": 0,
        "language": "en-GB",
        "loose": 0,  # else words for readers of the screen make a narrow page wider
    }
    without = opened.js("""[...document.querySelectorAll('.drawing')].filter((plot) =>
        !plot.closest('section').querySelector('details table, table')).map((plot) => plot.id)""")
    assert without == [], "every chart has its numbers as a table beside it"


FAINT = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (color) => color.slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  for (const each of document.querySelectorAll('body *')) {
    const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || each.closest('svg, script, style, noscript')) continue;
    const net = each.matches('.belief') && getComputedStyle(each).getPropertyValue('--net');
    const back = net ? net.trim().slice(1).match(/../g).map((part) => parseInt(part, 16)) : behind(each);
    const [high, low] = [light(rgb(getComputedStyle(each).color)), light(back)].sort((a, b) => b - a);
    const words = `${each.tagName}.${each.className}: ${each.textContent}`;
    if ((high + 0.05) / (low + 0.05) < 4.5) found.add(words);
  }
  return [...found];
}"""


def test_text_stands_out(desk: Opened) -> None:
    assert desk.js(FAINT) == []


def test_the_keyboard_reaches_everything(browser: Any, images: Path) -> None:
    opened = Opened(browser, images, 1280)
    tab = opened.tab
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"
    tab.keyboard.press("Tab")
    switch = "document.querySelector('[data-toggle]')"
    assert opened.js(f"document.activeElement === {switch}"), (
        "the next thing after the heading is the switch"
    )
    assert opened.js("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    shown = "document.querySelectorAll('#chart-figure1 .scatterlayer .trace').length"
    before = opened.js(shown)
    ticks = tab.locator("#chart-figure1 .xtick text").count()
    tab.keyboard.press("Space")
    assert opened.js(f"{switch}.getAttribute('aria-pressed')") == "true"
    assert opened.js(shown) == before + 9 + 2 * 4 + 1, (
        "nine rows, four nets on hard labels, the ensemble"
    )
    assert tab.locator("#chart-figure1 .xtick text").count() == ticks + 4
    tab.keyboard.press("Space")
    assert opened.js(shown) == before
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert opened.js("document.activeElement.getAttribute('aria-pressed')") == "false"
    assert opened.js(shown) == before - 3, "mean, best and last of a row are gone"
    tab.locator("#pick-search").focus()
    for _ in range(2):
        tab.keyboard.press("ArrowDown")
    unfolds = tab.locator("details[data-panel=search]:visible summary")
    assert unfolds.inner_text() == "Trials of mimic mlp1 180k as a table"
    assert opened.said == [] and opened.asked == [opened.url]
    opened.context.close()


def test_a_cell_says_what_it_is(desk: Opened) -> None:
    plot = desk.tab.locator("#chart-figure1")
    plot.scroll_into_view_if_needed()
    point = plot.locator(".scatterlayer .trace .points path").last
    box = point.bounding_box()
    at = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    desk.tab.mouse.move(*at)
    label = plot.locator(".hoverlayer .hovertext")
    label.wait_for()
    words = label.text_content()
    for part in (
        "2 conv. layers, 180k",
        "trials: 7, 1 failed",
        "widths: ",
        "dependent: ",
        "lr: ",
        "momentum: 0.9",
    ):
        assert part in words
    desk.tab.mouse.click(*at)
    heading = desk.tab.locator("[data-panel=cell]:visible h3").inner_text()
    assert heading == "mimic conv2 180k: best trial by validation error"


def test_names_are_shown_as_they_are(desk: Opened) -> None:
    assert DATA in desk.tab.locator("h1").inner_text() and desk.tab.title().startswith(DATA)
    ticks = desk.tab.locator("#chart-confusion .ytick text").all_text_contents()
    assert ticks[::-1] == [name if len(name) <= 14 else f"{name[:13]}…" for name in NASTY]
    captions = " ".join(desk.tab.locator(".cards caption").all_text_contents())
    assert sum(name[:39] in captions for name in NASTY) >= 8
    assert desk.tab.locator("main script, main img[onerror], main i").count() == 0


def test_vectors_open_too_and_are_printed(browser: Any, vectors: Path) -> None:
    opened = Opened(browser, vectors, 360)
    assert len(opened.js(MARKS)) == 8 and opened.js(OVERLAPS) == []
    width, window = opened.js(WIDE)
    assert width <= window
    closed = opened.tab.locator("main details:not([open])").count()
    opened.tab.emulate_media(media="print")
    opened.js("window.dispatchEvent(new Event('beforeprint'))")
    assert opened.tab.locator("main details:not(.as-is):not([open])").count() == 0 < closed
    assert not opened.tab.locator("nav.contents").is_visible()
    drawn = opened.js(
        "[...document.querySelectorAll('.drawing svg')].map((svg) => svg.getBoundingClientRect().width)"
    )
    assert 640 < max(drawn) < 662, "as wide as a page of paper"
    opened.js("window.dispatchEvent(new Event('afterprint'))")
    assert opened.tab.locator("main details:not([open])").count() == closed
    assert opened.tab.pdf(format="A4")[:5] == b"%PDF-"
    assert opened.said == [] and opened.asked == [opened.url]
    opened.context.close()


def test_many_classes_open_too(browser: Any, many: Path) -> None:
    opened = Opened(browser, many, 360)
    assert len(opened.js(MARKS)) == 7 and opened.tab.locator("#none-confusion").is_visible()
    width, window = opened.js(WIDE)
    assert width <= window and opened.said == [] and opened.asked == [opened.url]
    opened.context.close()


def test_it_does_without_scripts(browser: Any, vectors: Path) -> None:
    opened = Opened(browser, vectors, 1280, java_script_enabled=False)
    assert opened.tab.locator("noscript p").inner_text().startswith("Charts need JavaScript")
    assert opened.tab.locator("h2:visible").count() == 14
    assert opened.tab.locator("[data-panel=cell]:visible").count() > 1, (
        "all panels, since no list can choose one"
    )
    opened.context.close()
