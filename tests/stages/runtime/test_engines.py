"""The engine that params.yaml asks for, and how many trials it runs at a time."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.runtime import engines
from stages.runtime.engines import chosen_gpus, from_settings, slots_of
from stages.runtime.executors import Local, Serial
from tests.helpers import search_jobs
from tests.helpers.processes import until


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


def test_slots_are_gpus_times_trials_per_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engines, "visible_gpus", search_jobs.four_gpus)
    with from_settings(on_gpus(devices=(2, 0), trials_per_gpu=3)) as executor:
        assert executor.slots == slots_of(on_gpus(devices=(2, 0), trials_per_gpu=3)) == 6
        seen = [executor.submit(search_jobs.seen_gpu, tmp_path).result for _ in range(6)]
        assert until(lambda: len(list(tmp_path.glob("begun-*"))) == 6)
        (tmp_path / "go").touch()
        assert sorted(result() for result in seen) == ["GPU-a"] * 3 + ["GPU-c"] * 3
    assert slots_of(on_gpus(trials_per_gpu=2), gpus=4) == 8 and slots_of(on_gpus()) == 1
    message = "execution.devices has 4, and torch sees 4 GPUs: allowed are 0 to 3, or null for all"
    with pytest.raises(ValueError, match=message):
        from_settings(on_gpus(devices=(0, 4)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_no_gpu_is_said() -> None:
    assert chosen_gpus(search_jobs.execution("local", 1)) == []
    assert chosen_gpus(dataclasses.replace(on_gpus(), device="auto")) == []
    with pytest.raises(ValueError, match="torch sees no CUDA device"):
        from_settings(on_gpus())


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_trials_do_not_go_to_a_cpu_where_a_gpu_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(engines, "visible_gpus", search_jobs.gpus_of_an_old_driver)
    with pytest.raises(ValueError, match="driver lists 2 GPUs, .* cannot use any: update the driv"):
        from_settings(dataclasses.replace(on_gpus(), device=device))
    with from_settings(search_jobs.execution("local", 3)) as executor:
        assert executor.gpus == 0 and executor.slots == 3
