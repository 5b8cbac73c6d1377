"""Space, proposals, journal, sweep and executors: a search depends on nothing but its params."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, qmc
from threadpoolctl import threadpool_info, threadpool_limits

from stages.runtime import engines
from stages.runtime.engines import chosen_gpus, from_settings, slots_of
from stages.runtime.executors import DEVICES, Local, Serial
from stages.search import propose
from stages.search.journal import Journal, canonical
from stages.search.propose import Settings, Values, ask, sobol_point
from stages.search.space import Dimension, Space
from stages.search.sweep import TrialRow, best, run, top, trial_seed
from tests.helpers import search_jobs
from tests.helpers.processes import gone, until
from tools.pocket import ROOT

MIXED = Space(
    (
        Dimension("lr", 1e-3, 1e-1, log=True),
        Dimension("momentum", 0.68, 0.97),
        Dimension("width", 4, 64, integer=True),
    )
)
GP = Settings("gpyopt", start=4, lag=2)


def cube(d: int) -> Space:
    return Space(tuple(Dimension(f"u{k}", 0.0, 1.0) for k in range(d)))


def python(code: str, **environment: str) -> subprocess.Popen[str]:
    """Another python, in a session of its own, that sees the rooms and search_jobs."""
    path = str(ROOT)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


# ------------------------------------------------------------------------------------------- space


@st.composite
def dimensions(draw: st.DrawFn) -> Dimension:
    log, integer = draw(st.booleans()), draw(st.booleans())
    low = draw(st.floats(1e-6, 1e3) if log else st.floats(-1e3, 1e3))
    high = low + draw(st.floats(1.0 if integer else 1e-2, 1e3))
    return Dimension("x", low, high, log, integer)


@given(dimensions(), st.floats(0, 1))
def test_a_decoded_value_is_in_the_box_and_survives_encoding(
    dimension: Dimension, unit: float
) -> None:
    value = dimension.decode(unit)
    assert dimension.low <= value <= dimension.high
    assert isinstance(value, int if dimension.integer else float)
    assert -1e-9 <= dimension.encode(value) <= 1 + 1e-9
    assert dimension.decode(dimension.encode(value)) == value
    if not dimension.integer and value not in (dimension.low, dimension.high):
        assert value == float(f"{value:.6g}")
        assert abs(dimension.encode(value) - unit) < 0.1


@given(st.floats(1e-6, 1.0), st.floats(1.01, 1e4), st.floats(0, 1))
def test_log_scale_is_uniform_in_the_exponent(low: float, ratio: float, unit: float) -> None:
    high = low * ratio
    x = -math.log(high) + (1 - unit) * (
        math.log(high) - math.log(low)
    )  # 0 is low, so x runs backwards
    assert Dimension("lr", low, high, log=True).decode(unit) == pytest.approx(
        math.exp(-x), rel=1e-5
    )


def test_decoding_by_hand() -> None:
    lr = Dimension("lr", 1e-3, 1e-1, log=True)
    assert [lr.decode(u) for u in (0.0, 0.5, 1.0)] == [0.001, 0.01, 0.1]
    assert lr.decode(1 / 3) == 0.00464159
    assert Dimension("momentum", 0.68, 0.97).decode(1 / 3) == 0.776667
    assert lr.encode(0.01) == pytest.approx(0.5)
    width = Dimension("width", 1.5, 4.5, integer=True)
    assert [width.decode(u) for u in (0.0, 0.5, 1.0)] == [2, 3, 4]


def test_a_point_has_the_names_and_the_order_of_the_space() -> None:
    values = MIXED.decode(np.array([0.5, 0.0, 1.0]))
    assert values == {"lr": 0.01, "momentum": 0.68, "width": 64}
    np.testing.assert_allclose(MIXED.encode(dict(reversed(values.items()))), [0.5, 0.0, 1.0])


def test_fingerprint_sees_every_field_and_the_order() -> None:
    a, b = Dimension("a", 1.0, 2.0), Dimension("b", 1.0, 2.0)
    spaces = [(a, b), (b, a), (a,), (Dimension("a", 1.0, 3.0),), (Dimension("a", 0.5, 2.0),)]
    spaces += [(Dimension("a", 1.0, 2.0, log=True),), (Dimension("a", 1.0, 2.0, integer=True),)]
    assert len({Space(s).fingerprint() for s in spaces}) == len(spaces)
    assert Space((a, b)).fingerprint() == Space((a, b)).fingerprint()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"low": 1.0, "high": 1.0}, "lr.*allowed is low < high"),
        ({"low": 2.0, "high": 1.0}, "lr.*allowed is low < high"),
        ({"low": "1e-3", "high": 1.0}, "lr.*1e-3"),
        ({"low": math.nan, "high": 1.0}, "lr.*nan"),
        ({"low": 0.0, "high": math.inf}, "lr.*inf"),
        ({"low": 0.0, "high": 1.0, "log": True}, "lr.*above 0 on a log scale"),
        ({"low": 1.2, "high": 1.8, "integer": True}, "lr.*whole number"),
    ],
)
def test_bad_ranges_are_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space.from_params({"lr": entry})


def test_a_space_without_a_range_is_refused() -> None:
    with pytest.raises(ValueError, match="no range"):
        Space.from_params({})


# ----------------------------------------------------------------------------------------- propose


def test_sobol_start_is_pinned() -> None:
    """The same on any machine. After a wanted change of the sequence, print these again and replace
    them.
    """
    golden = {
        0: {"lr": 0.0108128, "momentum": 0.799497, "width": 41},
        1: {"lr": 0.00761875, "momentum": 0.858411, "width": 7},
        2: {"lr": 0.00107234, "momentum": 0.704228, "width": 61},
        100: {"lr": 0.0418422, "momentum": 0.705359, "width": 27},
    }
    assert {i: sobol_point(MIXED, 7, i) for i in golden} == golden
    assert sobol_point(MIXED, 8, 0) != golden[0]


def test_sobol_points_fill_the_box() -> None:
    units = np.array([cube(3).encode(sobol_point(cube(3), 3, i)) for i in range(64)])
    assert units.min() >= 0 and units.max() <= 1
    assert qmc.discrepancy(units) < 0.5 * qmc.discrepancy(np.random.default_rng(0).random((64, 3)))


def history(space: Space, n: int, seed: int = 0) -> list[tuple[Values, float | None]]:
    rng = np.random.default_rng(seed)
    points = [space.decode(u) for u in rng.random((n, len(space.dimensions)))]
    return [(p, float(np.sum((space.encode(p) - 0.3) ** 2))) for p in points]


DONE = history(MIXED, 6)
PENDING = [sobol_point(MIXED, 1, 50)]


def test_ask_is_pure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in this process, again, under another global seed, and in a fresh process."""
    import matplotlib

    monkeypatch.delenv("MPLBACKEND", raising=False)
    np.random.seed(5)
    before = (
        np.random.get_state(),
        list(warnings.filters),
        random.getstate(),
        dict(os.environ),
        np.geterr(),
    )
    backend = dict.__getitem__(matplotlib.rcParams, "backend")
    first = ask(MIXED, GP, 3, 7, DONE, PENDING)
    after = (
        np.random.get_state(),
        list(warnings.filters),
        random.getstate(),
        dict(os.environ),
        np.geterr(),
    )
    np.testing.assert_equal(after, before)
    assert dict.__getitem__(matplotlib.rcParams, "backend") is backend
    np.random.seed(6)
    assert ask(MIXED, GP, 3, 7, DONE, PENDING) == first
    code = (
        "import sys, warnings, numpy as np, test_search as t\n"
        "np.random.seed(99); kept = list(warnings.filters), str(np.random.get_state())\n"
        "assert 'GPyOpt' not in sys.modules\n"
        "print(t.ask(t.MIXED, t.GP, 3, 7, t.DONE, t.PENDING))\n"
        "assert (list(warnings.filters), str(np.random.get_state())) == kept\n"
        "import matplotlib\n"
        "backend = dict.__getitem__(matplotlib.rcParams, 'backend')\n"
        "assert backend is matplotlib.rcsetup._auto_backend_sentinel\n"
    )
    fresh = python(code, OMP_NUM_THREADS="2")
    out, errors = fresh.communicate(timeout=60)
    assert fresh.returncode == 0, errors
    assert out.strip() == str(first)


def test_the_model_runs_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spy(x: np.ndarray, y: np.ndarray, waiting: np.ndarray) -> np.ndarray:
        seen.extend(library["num_threads"] for library in threadpool_info())
        return np.full(x.shape[1], 0.5)

    monkeypatch.setattr(propose, "_expected_improvement", spy)
    with threadpool_limits(2):
        ask(MIXED, GP, 3, 7, DONE, [])
        assert max(library["num_threads"] for library in threadpool_info()) == 2
    assert set(seen) == {1}


def test_a_proposal_depends_on_what_is_pending_the_seed_and_the_trial() -> None:
    here = ask(MIXED, GP, 3, 7, DONE, [])
    assert ask(MIXED, GP, 3, 7, DONE, [here]) != here
    near = {**here, "lr": here["lr"] * 1.0001}
    away = ask(MIXED, GP, 3, 7, DONE, [near, near])
    # near is believed to be at the mean, so there is nothing to gain around it
    assert np.linalg.norm(MIXED.encode(away) - MIXED.encode(here)) > 0.05


def test_believing_all_at_once_is_believing_one_after_the_other() -> None:
    """A point at the posterior mean moves that mean nowhere, so the order of beliefs does not
    matter.
    """
    rng = np.random.default_rng(0)
    x, waiting, places = (rng.random((count, 3)) for count in (12, 6, 50))
    y = np.sin(5 * x).sum(axis=1)
    y = (y - y.mean()) / y.std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.random.seed(1)
        together = propose._model(x, y, waiting)
        np.random.seed(1)
        one = propose._model(x, y, waiting[:0])
    for point in waiting:
        mean = one.predict(point[None])[0]
        one.model.set_XY(np.vstack([one.model.X, point]), np.vstack([one.model.Y, mean]))
    assert len(together.model.X) == 18
    for ours, theirs in zip(together.predict(places), one.predict(places), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_the_model_sees_finished_and_pending_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed trial counts as the worst finite value; pending ones come apart from the results."""
    seen: list[np.ndarray] = []

    def spy(x: np.ndarray, y: np.ndarray, waiting: np.ndarray) -> np.ndarray:
        seen.extend([x, y, waiting])
        return np.array([0.1, 0.2, 0.3])

    monkeypatch.setattr(propose, "_expected_improvement", spy)
    done = [*DONE[:2], (DONE[2][0], None), *DONE[3:]]
    assert ask(MIXED, GP, 3, 7, done, PENDING) == MIXED.decode(np.array([0.1, 0.2, 0.3]))
    x, y, waiting = seen
    np.testing.assert_array_equal(x, [MIXED.encode(p) for p, _ in DONE])
    np.testing.assert_array_equal(waiting, [MIXED.encode(p) for p in PENDING])
    values = [v for k, (_, v) in enumerate(DONE) if k != 2]
    assert y.tolist() == [*values[:2], max(values), *values[2:]]


def test_duplicates_are_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = MIXED.encode(DONE[0][0])
    monkeypatch.setattr(propose, "_expected_improvement", lambda *_: answer)
    assert ask(MIXED, GP, 3, 7, DONE, []) == sobol_point(MIXED, 3, 7)
    assert ask(MIXED, GP, 3, 7, DONE[1:], [DONE[0][0]]) == sobol_point(MIXED, 3, 7)
    assert ask(MIXED, GP, 3, 7, DONE[1:], []) == DONE[0][0]
    assert ask(MIXED, GP, 3, 7, DONE, [sobol_point(MIXED, 3, 7)]) == sobol_point(MIXED, 3, 8)


def test_a_box_with_every_point_tried_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Space((Dimension("n", 1, 2, integer=True),))
    monkeypatch.setattr(propose, "_expected_improvement", lambda *_: np.array([0.0]))
    assert ask(small, GP, 3, 4, [({"n": 1}, 0.1), ({"n": 2}, 0.2)], []) in ({"n": 1}, {"n": 2})


@pytest.mark.parametrize(
    "how", [np.linalg.LinAlgError("not positive definite"), np.full(3, np.nan)]
)
def test_a_model_that_cannot_be_fitted_does_not_stop_the_search(
    monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    def broken(*_: np.ndarray) -> np.ndarray:
        if isinstance(how, Exception):
            raise how
        return how

    monkeypatch.setattr(propose, "_expected_improvement", broken)
    state = np.random.get_state()
    assert ask(MIXED, GP, 3, 7, DONE, []) == sobol_point(MIXED, 3, 7)
    np.testing.assert_equal(np.random.get_state(), state)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("engine", ["gpyopt", "sobol"])
def test_results_that_are_not_finite_are_refused(value: float, engine: str) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        ask(MIXED, Settings(engine, 4, 2), 3, 7, [*DONE, (DONE[0][0], value)], [])


def test_sobol_while_the_model_has_nothing_to_learn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        propose, "_expected_improvement", lambda *_: pytest.fail("the model was asked")
    )
    point = sobol_point(MIXED, 3, 7)
    assert ask(MIXED, GP, 3, 7, [(p, 0.5) for p, _ in DONE], []) == point
    assert ask(MIXED, GP, 3, 7, [*((p, None) for p, _ in DONE[1:]), DONE[0]], []) == point
    assert ask(MIXED, GP, 3, 7, [(p, None) for p, _ in DONE], []) == point
    assert ask(MIXED, Settings("sobol", 4, 2), 3, 7, DONE, []) == point
    assert ask(MIXED, Settings("gpyopt", 8, 2), 3, 7, DONE, []) == point


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bo", 4, 2), "sweep.engine.*'bo'"),
        (("gpyopt", 0, 1), "start 0"),
        (("gpyopt", 1, 0), "lag 0"),
    ],
)
def test_bad_settings_are_refused(arguments: tuple[str, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(*arguments)


def test_gradient_of_the_improvement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against central differences: with a wrong one the search still moves, only worse."""
    from GPyOpt.acquisitions import AcquisitionEI

    def check(acquisition: Any) -> tuple[np.ndarray, float]:
        f = acquisition.acquisition_function
        points, step = np.random.default_rng(0).random((8, 3)), 1e-5 * np.eye(3)
        for point in points:
            value, gradient = acquisition.acquisition_function_withGradients(point[None])
            numeric = [np.squeeze(f((point + h)[None]) - f((point - h)[None])) / 2e-5 for h in step]
            np.testing.assert_allclose(value, f(point[None]), rtol=1e-9)
            rounding = 1e-7 * max(
                1.0, np.abs(numeric).max()
            )  # a steep slope hides the digits of a flat one
            np.testing.assert_allclose(np.ravel(gradient), numeric, rtol=1e-3, atol=rounding)
        return np.array([[0.1, 0.2, 0.3]]), 0.0

    monkeypatch.setattr(AcquisitionEI, "optimize", check)
    assert ask(MIXED, GP, 3, 7, DONE, PENDING) == MIXED.decode(np.array([0.1, 0.2, 0.3]))


def test_log_of_the_improvement_far_from_any() -> None:
    """Against the sum itself where it has digits, and against its expansion where it has none."""
    u = np.linspace(-4, 6, 101)
    plain = norm.pdf(u) + u * norm.cdf(u)
    np.testing.assert_allclose(propose._log_h(u)[0], np.log(plain), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(propose._log_h(u)[1], norm.cdf(u) / plain, rtol=1e-9)
    far = -np.array([50.0, 1e3, 9.99e3, 1.001e4, 1e6])
    value, slope = propose._log_h(far)
    series = norm.logpdf(far) - 2 * np.log(-far) + np.log1p(-3 / far**2 + 15 / far**4)
    np.testing.assert_allclose(value, series, rtol=1e-9)
    np.testing.assert_allclose(slope, -far * (1 + 2 / far**2), rtol=1e-4)


@pytest.mark.filterwarnings("ignore::RuntimeWarning:GPy")
def test_acquisition_is_searched_around_the_incumbents() -> None:
    """Late in a search in many dimensions, GPyOpt's own optimiser starts at random points only and
    ends lower.
    """
    from GPyOpt.core.task.space import Design_space
    from GPyOpt.optimization import AcquisitionOptimizer

    d, state = 18, np.random.get_state()
    box = Design_space(
        [{"name": f"u{k}", "type": "continuous", "domain": (0.0, 1.0)} for k in range(d)]
    )
    lowest, gains = 0.2 + 0.6 * np.modf(np.arange(1, d + 1) * (math.sqrt(5) - 1) / 2)[0], []
    try:
        for seed in range(4):
            rng = np.random.default_rng(seed)
            uniform = rng.random((33, d))
            near = [lowest + spread * rng.normal(size=(33, d)) for spread in (0.1, 0.02)]
            x = np.clip(np.vstack([uniform, *near]), 0, 1)
            y = (
                1
                - np.exp(-3 * (x - lowest) ** 2 @ 0.6 ** np.arange(d))
                + 0.005 * rng.normal(size=99)
            )
            np.random.seed(0)
            model = propose._model(x, (y - y.mean()) / y.std(), np.empty((0, d)))
            acquisition = propose._log_improvement(model, box)
            ours = acquisition.acquisition_function(acquisition.optimize()[0])
            acquisition.optimizer = AcquisitionOptimizer(box)
            gains.append(
                (acquisition.acquisition_function(acquisition.optimize()[0]) - ours).item()
            )
    finally:
        np.random.set_state(state)
    assert min(gains) > -1e-3 and max(gains) > 0.1, gains  # of the logarithm of the improvement


def branin(params: Values) -> float:
    """Dixon and Szego 1978; three minima of 0.397887."""
    x, y = params["x"], params["y"]
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def test_the_model_beats_sobol_on_branin() -> None:
    space = Space((Dimension("x", -5.0, 10.0), Dimension("y", 0.0, 15.0)))
    regrets: dict[str, list[float]] = {"gpyopt": [], "sobol": []}
    for engine, found in regrets.items():
        for seed in range(3):
            done: list[tuple[Values, float | None]] = []
            for i in range(24):
                values = ask(space, Settings(engine, 5, 1), seed, i, done, [])
                done.append((values, branin(values)))
            found.append(min(value for _, value in done if value is not None) - 0.397887)
    assert np.median(regrets["gpyopt"]) < 0.25 * np.median(regrets["sobol"]), regrets


# ----------------------------------------------------------------------------------------- journal

HEADER = {"space": "abc", "settings": {"seed": 1, "training": {"lr": 0.1, "sizes": (1, 2)}}}


def test_journal_bytes_are_canonical(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.jsonl"
    Journal.open(path, {"b": 1, "a": [0.1, None]}).append({"z": 1e-07, "event": "start", "ä": True})
    assert path.read_bytes() == (
        b'{"check":"99272c12e9ef08ee","header":{"a":[0.1,null],"b":1}}\n'
        b'{"check":"7789ff74361a3ab0","event":"start","z":1e-07,"\\u00e4":true}\n'
    )


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.text(), FINITE | st.integers() | st.text()))
def test_canonical_json_does_not_depend_on_order_and_keeps_values(value: dict[str, Any]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)
    assert json.loads(canonical(value)) == value
    assert "\n" not in canonical(value) and "\r" not in canonical(value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_json_lacks_are_refused_before_anything_is_written(
    tmp_path: Path, value: float
) -> None:
    journal = Journal.open(tmp_path / "j", HEADER)
    before = journal.path.read_bytes()
    with pytest.raises(ValueError):
        journal.append({"value": value})
    assert journal.path.read_bytes() == before and journal.events == []


def test_events_in_memory_are_those_that_are_read_again(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", HEADER)
    journal.append({"event": "done", "widths": (1, 2)})
    assert journal.events == [{"event": "done", "widths": [1, 2]}]
    assert journal.events == Journal.open(tmp_path / "j", HEADER).events


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_torn_last_line_is_dropped_before_the_next_append(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("torn") / "j"
    journal = Journal.open(path, HEADER)
    journal.append({"trial": 0})
    journal.append({"trial": 1})
    whole = path.read_bytes()
    kept = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:kept])
    again = Journal.open(path, HEADER)
    assert (
        path.read_bytes() == whole[: max(whole.rfind(b"\n", 0, kept) + 1, whole.index(b"\n") + 1)]
    )
    for trial in range(len(again.events), 2):
        again.append({"trial": trial})
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", [b'{"tri', b"", b"[1]", b"\xff\xfe", b'{"trial":1}{"trial":1}'])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, damage: bytes) -> None:
    journal = Journal.open(tmp_path / "j", HEADER)
    for trial in range(3):
        journal.append({"trial": trial})
    lines = journal.path.read_bytes().split(b"\n")
    journal.path.write_bytes(b"\n".join([*lines[:2], damage, *lines[3:]]))
    before = journal.path.read_bytes()
    with pytest.raises(ValueError, match=r"j, line 3 is damaged"):
        Journal.open(journal.path, HEADER)
    assert journal.path.read_bytes() == before


def test_another_header_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    path = tmp_path / "j"
    Journal.open(path, HEADER)
    Journal.open(path, json.loads(canonical(HEADER)))
    other = {"space": "abc", "settings": {"seed": 2, "training": {"lr": 0.2, "sizes": (1, 2)}}}
    with pytest.raises(ValueError, match=r"\(other settings\.seed, settings\.training\.lr\)"):
        Journal.open(path, other)
    with pytest.raises(ValueError, match=r"\(other settings\)"):
        Journal.open(path, {"space": "abc"})
    path.write_bytes(b'{"trial":0}\n')
    with pytest.raises(ValueError, match=r"\(other header\)"):
        Journal.open(path, HEADER)


def test_every_line_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    path, sync = tmp_path / "j", os.fsync

    def counting(descriptor: int) -> None:
        sizes.append(path.stat().st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counting)
    journal = Journal.open(path, HEADER)
    head = path.stat().st_size
    assert sizes == [head, head]  # the line, then the name in its folder
    journal.append({"trial": 0})
    assert sizes[2:] == [path.stat().st_size]
    with path.open("ab") as file:
        file.write(b"torn")
    Journal.open(path, HEADER)
    assert sizes[3:] == [sizes[2]]


# ------------------------------------------------------------------------------------------- sweep

LAG, TRIALS = 3, 10


def search(
    path: Path,
    submit: Callable[[int, Values, int], Future[dict[str, Any]]],
    slots: int = 1,
    engine: str = "sobol",
    **more: Any,
) -> list[TrialRow]:
    journal = Journal.open(path, {"space": MIXED.fingerprint()})
    how = Settings(engine, 4, LAG)
    return run(
        journal=journal,
        space=MIXED,
        settings=how,
        seed=11,
        submit=submit,
        slots=slots,
        **{"trials": TRIALS, **more},
    )


def quick(i: int, params: Values, seed: int) -> dict[str, Any]:
    if i == 2:
        return {"value": None, "reason": "loss is nan in epoch 1", "curve": []}
    return {"value": search_jobs.value_of(params), "reason": None, "curve": (i, seed)}


def serial(trial: Callable[..., dict[str, Any]]) -> Callable[..., Future[dict[str, Any]]]:
    return functools.partial(Serial().submit, trial)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[TrialRow], bytes]:
    """Rows and journal of the serial sweep."""
    path = tmp_path_factory.mktemp("reference") / "journal.jsonl"
    rows = search(path, serial(quick))
    return rows, path.read_bytes()


def test_journal_order_and_rows(reference: tuple[list[TrialRow], bytes]) -> None:
    rows, journal = reference
    events = [json.loads(line) for line in journal.splitlines()[1:]]
    expected = [("start", i) for i in range(LAG)]
    for i in range(TRIALS):
        expected += [("done", i)] + ([("start", i + LAG)] if i + LAG < TRIALS else [])
    assert [(e["event"], e["trial"]) for e in events] == expected
    assert [row.trial for row in rows] == list(range(TRIALS))
    assert [row.params for row in rows] == [sobol_point(MIXED, 11, i) for i in range(TRIALS)]
    assert [row.seed for row in rows] == [trial_seed(11, i) for i in range(TRIALS)]
    assert len({row.seed for row in rows}) == TRIALS
    assert (rows[2].value, rows[2].reason) == (None, "loss is nan in epoch 1")
    assert rows[3].result == {"curve": [3, rows[3].seed]}


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_timing_and_slots_do_not_change_the_journal(
    reference: tuple[list[TrialRow], bytes], tmp_path: Path, slots: int
) -> None:
    rng, lock, flying, most = random.Random(slots), threading.Lock(), 0, 0

    def slow(delay: float, i: int, params: Values, seed: int) -> dict[str, Any]:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        time.sleep(delay)
        with lock:
            flying -= 1
        return quick(i, params, seed)

    with ThreadPoolExecutor(2 * LAG) as pool:
        submit = lambda i, params, seed: pool.submit(slow, rng.random() * 0.05, i, params, seed)  # noqa: E731
        rows = search(tmp_path / "j", submit, slots)
    assert (rows, (tmp_path / "j").read_bytes()) == reference
    assert most == slots


def test_a_trial_is_proposed_from_the_results_up_to_the_lag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int]] = []

    def spy(
        space: Space, how: Settings, seed: int, i: int, done: list[Any], pending: list[Any]
    ) -> Values:
        asked.append((i, len(done), len(pending)))
        assert [p for p, _ in done] + list(pending) == [
            sobol_point(space, seed, k) for k in range(i)
        ]
        return ask(space, how, seed, i, done, pending)

    monkeypatch.setattr("stages.search.sweep.ask", spy)
    search(tmp_path / "j", serial(quick), slots=LAG)
    assert asked == [(i, max(0, i - LAG + 1), min(i, LAG - 1)) for i in range(TRIALS)]


def test_every_prefix_of_a_journal_goes_on_to_the_same_bytes(
    reference: tuple[list[TrialRow], bytes], tmp_path: Path
) -> None:
    rows, journal = reference
    for cut in range(0, len(journal), 83):
        path = tmp_path / str(cut)
        path.write_bytes(journal[:cut])
        assert search(path, serial(quick)) == rows
        assert path.read_bytes() == journal
    assert search(path, lambda *_: pytest.fail("nothing is left to run")) == rows


def test_gpyopt_sweep_is_the_same_when_resumed_and_in_parallel(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole", serial(quick), engine="gpyopt", trials=7)
    journal = (tmp_path / "whole").read_bytes()
    assert whole[5].params != sobol_point(MIXED, 11, 5)
    lines = journal.splitlines(keepends=True)
    (tmp_path / "part").write_bytes(b"".join(lines[:9]) + lines[9][:7])
    with ThreadPoolExecutor(3) as pool:
        rows = search(
            tmp_path / "part", functools.partial(pool.submit, quick), 3, "gpyopt", trials=7
        )
    assert rows == whole
    assert (tmp_path / "part").read_bytes() == journal


def test_a_serial_sweep_writes_each_result_before_the_next_trial(tmp_path: Path) -> None:
    """So that a kill loses one trial, not `lag` of them."""

    def trial(i: int, params: Values, seed: int) -> dict[str, Any]:
        done = [json.loads(line) for line in (tmp_path / "j").read_bytes().splitlines()]
        assert sum(e.get("event") == "done" for e in done) == i
        return quick(i, params, seed)

    search(tmp_path / "j", serial(trial), slots=LAG)


def test_an_exception_propagates_and_the_sweep_can_go_on(
    reference: tuple[list[TrialRow], bytes], tmp_path: Path
) -> None:
    def broken(i: int, params: Values, seed: int) -> dict[str, Any]:
        if i == 5:
            raise ValueError("no space left")
        return quick(i, params, seed)

    for _ in range(2):
        with pytest.raises(ValueError, match="no space left"):
            search(tmp_path / "j", serial(broken))
        assert reference[1].startswith((tmp_path / "j").read_bytes())
    assert b'"event":"done","reason":null,"result":{"curve":[4' in (tmp_path / "j").read_bytes()
    seen: list[int] = []
    rows = search(
        tmp_path / "j", lambda i, *rest: seen.append(i) or Serial().submit(quick, i, *rest)
    )
    assert (rows, (tmp_path / "j").read_bytes()) == reference
    assert seen == list(range(5, TRIALS))


def test_the_rest_is_cancelled_when_a_trial_raises(tmp_path: Path) -> None:
    futures = [Future(), Future(), Future()]
    futures[0].set_exception(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        search(tmp_path / "j", lambda i, *_: futures[2 - i] if i else futures[0], slots=3)
    waiting: list[Future[Any]] = []

    def late(i: int, *_: Any) -> Future[Any]:
        waiting.append(Future())
        if i == 2:
            threading.Timer(0.05, waiting[0].set_exception, [ValueError("late")]).start()
        return waiting[-1]

    with pytest.raises(ValueError, match="late"):
        search(tmp_path / "j", late, slots=3)
    assert [future.cancelled() for future in waiting] == [False, True, True]


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_value_that_is_not_finite_is_a_failed_trial(tmp_path: Path, value: float | None) -> None:
    def trial(i: int, params: Values, seed: int) -> dict[str, Any]:
        return {"value": value, "reason": None} if i == 1 else quick(i, params, seed)

    rows = search(tmp_path / "j", serial(trial))
    assert rows[1].value is None
    assert rows[1].reason == ("the trial gave no value" if value is None else f"value is {value}")
    assert search(tmp_path / "j", serial(trial)) == rows


def test_all_failed_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    def trial(i: int, params: Values, seed: int) -> dict[str, Any]:
        return {
            "value": None,
            "reason": "loss is nan in epoch 3" if i < 6 else "loss is inf in epoch 1",
        }

    reasons = r"all 10 trials failed \(loss is nan in epoch 3; loss is inf in epoch 1\)"
    with pytest.raises(ValueError, match=reasons):
        search(tmp_path / "j", serial(trial))


def test_a_journal_without_one_of_its_results_is_refused(
    reference: tuple[list[TrialRow], bytes], tmp_path: Path
) -> None:
    lines = reference[1].splitlines(keepends=True)
    assert b'"done"' in lines[4]
    (tmp_path / "j").write_bytes(b"".join([*lines[:4], *lines[5:]]))
    with pytest.raises(ValueError, match="line 5 is damaged"):
        search(tmp_path / "j", serial(quick))


def test_events_are_told(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    tell = lambda what, trial, facts: told.append((what, trial))  # noqa: E731
    search(tmp_path / "j", serial(quick), on_event=tell, trials=3)
    assert told == [(what, i) for i in range(3) for what in ("start", "done")]
    told.clear()
    search(tmp_path / "j", serial(quick), on_event=tell, trials=3)
    assert told == [("done", 0), ("done", 1), ("done", 2)]


def test_top_and_best() -> None:
    values = [0.3, None, 0.1, 0.2, 0.1, None]
    rows = [TrialRow(i, {}, 0, v, None, {}) for i, v in enumerate(values)]
    assert [row.trial for row in top(rows[::-1], 3)] == [2, 4, 3]
    assert [row.trial for row in top(rows, 9)] == [2, 4, 3, 0]
    assert best(rows).trial == 2


# --------------------------------------------------------------------------------------- executors


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    with Local(2, preload=["pytest", "tests.helpers.search_jobs"]) as executor:
        yield executor


@pytest.mark.parametrize("which", ["local", "serial"])
def test_results_and_exceptions_come_back(which: str, local: Local) -> None:
    executor: Executor = local if which == "local" else Serial()
    assert executor.submit(search_jobs.square, x=3.0).result(30) == 9.0
    with pytest.raises(ValueError, match="lr 2.0 is refused") as caught:
        executor.submit(search_jobs.refuse, 2.0).result(30)
    assert which == "serial" or "in refuse" in caught.value.__notes__[0]


def test_what_cannot_be_sent_back_is_an_error_at_once(local: Local) -> None:
    with pytest.raises(RuntimeError, match="Awkward: layer 7"):
        local.submit(search_jobs.awkward).result(30)
    with pytest.raises(RuntimeError, match="cannot be pickled"):
        local.submit(search_jobs.unpicklable).result(30)


def test_a_killed_trial_is_run_again(local: Local, tmp_path: Path) -> None:
    assert local.submit(search_jobs.die_at_first, tmp_path, 1).result(30) == 2


def test_a_trial_that_always_dies_is_given_up(local: Local, tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match=r"died 3 times \(exit code -9.*execution.slots"):
        local.submit(search_jobs.die_at_first, tmp_path, 9).result(30)
    assert (tmp_path / "calls").read_text().count("call") == 3


def test_no_more_processes_than_slots(local: Local) -> None:
    futures = [local.submit(search_jobs.interval, 0.5) for _ in range(4)]
    spans = [future.result(30) for future in futures]
    assert len({pid for _, _, pid in spans} - {os.getpid()}) == 4
    together = [sum(a <= begin < b for a, b, _ in spans) for begin, _, _ in spans]
    assert max(together) == 2


def test_shutdown_ends_what_runs() -> None:
    with Local(1) as executor:
        running, queued = (executor.submit(search_jobs.interval, 60) for _ in range(2))
        time.sleep(0.3)
        begin = time.monotonic()
    assert time.monotonic() - begin < 5
    assert isinstance(running.exception(timeout=5), ChildProcessError) and queued.cancelled()


def test_settings_choose_the_executor() -> None:
    serial, local = (search_jobs.execution(engine, 3) for engine in ("serial", "local"))
    assert (
        isinstance(from_settings(serial), Serial)
        and from_settings(serial).slots == slots_of(serial) == 1
    )
    with from_settings(local) as executor:
        assert isinstance(executor, Local) and executor.slots == slots_of(local) == 3
    with pytest.raises(ValueError, match="execution.slots is 0"):
        Local(0)


def on_gpus(**changes: Any) -> Any:
    return dataclasses.replace(search_jobs.execution("local", 1), device="cuda", **changes)


def test_slots_are_gpus_times_trials_per_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "visible_gpus", search_jobs.four_gpus)
    with from_settings(on_gpus(devices=(2, 0), trials_per_gpu=3)) as executor:
        assert executor.slots == slots_of(on_gpus(devices=(2, 0), trials_per_gpu=3)) == 6
        seen = [executor.submit(search_jobs.seen_gpu, 0.5).result for _ in range(6)]
        assert sorted(result() for result in seen) == ["GPU-a"] * 3 + ["GPU-c"] * 3
    assert slots_of(on_gpus(trials_per_gpu=2), gpus=4) == 8 and slots_of(on_gpus()) == 1
    message = "execution.devices has 4, and torch sees 4 GPUs: allowed are 0 to 3, or null for all"
    with pytest.raises(ValueError, match=message):
        from_settings(on_gpus(devices=(0, 4)))


def test_each_process_sees_the_gpu_with_the_fewest() -> None:
    with Local(4, devices=["a", "b"]) as executor:
        long = executor.submit(search_jobs.seen_gpu, 3)
        time.sleep(1)
        short = [executor.submit(search_jobs.seen_gpu, 0).result() for _ in range(3)]
        assert long.result() == "a" and short == ["b"] * 3
    assert DEVICES not in os.environ


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_no_gpu_is_said() -> None:
    assert chosen_gpus(search_jobs.execution("local", 1)) == []
    assert chosen_gpus(dataclasses.replace(on_gpus(), device="auto")) == []
    with pytest.raises(ValueError, match="torch sees no CUDA device"):
        from_settings(on_gpus())


def test_a_worker_that_is_stopped_is_killed_and_its_trial_run_again(tmp_path: Path) -> None:
    with Local(1, patience=3) as executor:
        running = executor.submit(search_jobs.stopped_once, tmp_path / "stopped")
        assert running.result(timeout=60) == "second"
    first = int((tmp_path / "stopped").read_text())
    assert not Path(f"/proc/{first}").exists()


# ---------------------------------------------------------------- kills, in processes of their own


def start(folder: Path, engine: str, seconds: float) -> subprocess.Popen[str]:
    return python(f"import search_jobs; search_jobs.drive({str(folder)!r}, {engine!r}, {seconds})")


def begun(folder: Path) -> list[list[str]]:
    """[trial, pid, seed, params] of every begin of a trial."""
    path = folder / "begun"
    return [line.split(" ", 3) for line in path.read_text().splitlines()] if path.is_file() else []


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep of `search_jobs.drive`, never killed, in this process."""
    folder = tmp_path_factory.mktemp("driven")
    search_jobs.drive(str(folder), "serial", 0.0)
    return folder


def test_killed_at_random_moments_and_resumed(driven: Path, tmp_path: Path) -> None:
    rng, kills, journal = random.Random(0), 0, tmp_path / "journal.jsonl"
    while kills < 3:
        size = journal.stat().st_size if journal.is_file() else 0
        process = start(tmp_path, "local", 0.2)
        assert until(lambda: journal.is_file() and journal.stat().st_size > size)  # noqa: B023
        time.sleep(rng.random() * 0.5)
        assert process.poll() is None
        process.kill()
        process.communicate()
        kills += 1
    finish(start(tmp_path, "local", 0.0))
    assert (tmp_path / "finished").is_file()
    assert journal.read_bytes() == (driven / "journal.jsonl").read_bytes()
    runs = begun(tmp_path)
    assert len(runs) > 10
    once = {(trial, seed, params) for trial, _, seed, params in begun(driven)}
    assert {(trial, seed, params) for trial, _, seed, params in runs} == once


@pytest.mark.parametrize("how", ["kill", "ctrl-c", "interrupt of the parent"])
@pytest.mark.parametrize("engine", ["local", "serial"])
def test_no_process_outlives_the_driver(
    engine: str, how: str, driven: Path, tmp_path: Path
) -> None:
    """Ctrl-C goes to the whole group, as a terminal sends it; the sweep then goes on from its
    journal.
    """
    process = start(tmp_path, engine, 30.0)
    assert until(lambda: len(begun(tmp_path)) == (2 if engine == "local" else 1))
    pids = {int(pid) for _, pid, _, _ in begun(tmp_path)}
    assert (process.pid in pids) == (engine == "serial")
    assert not any(gone(pid) for pid in pids)
    if how == "kill":
        process.kill()
    elif how == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode != 0 and (
        how == "kill" or errors.strip().endswith("KeyboardInterrupt")
    )
    assert "ForkServerProcess" not in errors  # trials end without a traceback of their own
    assert until(lambda: all(gone(pid) for pid in pids), 5)
    if how == "ctrl-c":
        finish(start(tmp_path, "serial", 0.0))
        assert (tmp_path / "journal.jsonl").read_bytes() == (driven / "journal.jsonl").read_bytes()


def test_a_trial_that_exits_is_told_apart_from_a_dead_one() -> None:
    with Local(1) as executor, pytest.raises(RuntimeError, match="SystemExit: 3"):
        executor.submit(search_jobs.leave, 3).result()


def test_a_failing_trial_is_noticed_while_an_earlier_one_runs(tmp_path: Path) -> None:
    first: Future[dict[str, Any]] = Future()  # never finishes

    def submit(trial: int, params: dict[str, Any], seed: int) -> Future[dict[str, Any]]:
        if trial == 0:
            return first
        broken: Future[dict[str, Any]] = Future()
        broken.set_exception(OSError("no room"))
        return broken

    space = Space.from_params({"x": {"low": 0.0, "high": 1.0}})
    journal = Journal.open(tmp_path / "journal.jsonl", {})
    with pytest.raises(OSError, match="no room"):
        run(
            journal=journal,
            space=space,
            settings=Settings("sobol", 2, 2),
            seed=1,
            trials=4,
            submit=submit,
            slots=2,
        )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"low": 0, "hihg": 1}, "did you mean 'high'"),
        ({"low": 0}, "'high' is missing"),
        (3, "allowed is a mapping"),
        ({"low": False, "high": True}, "allowed is low < high"),
    ],
)
def test_a_dimension_that_is_none(entry: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space.from_params({"x": entry})
