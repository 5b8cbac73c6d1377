"""guarded: an image of one colour has an answer in every format, and training has its own pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from commands.models import programs
from commands.models.check import CheckedInputs
from commands.models.guarded import GuardedStandardise, guarded
from commands.models.made_up import made_up
from stages.nets.pixels import Standardise
from stages.settings.inputs import Inputs
from tests.helpers.exports import needs_onnx
from tests.helpers.families import KINDS, description, small_net

QUICK = ("mlp1", "conv1", "fast teacher", "mlp2 of vectors", "teacher of frames")


def inputs_of(kind: str, count: int = 3) -> np.ndarray:
    """Some inputs as any data set has them."""
    draws = np.random.default_rng(1)
    size = KINDS[kind].map if KINDS[kind].is_images else KINDS[kind].shape
    assert size is not None
    if KINDS[kind].is_images:
        return draws.integers(0, 256, (count, *size), dtype=np.uint8)
    return draws.normal(size=(count, *size)).astype(np.float32)


def sample_of(kind: str, net: torch.nn.Sequential) -> CheckedInputs:
    return CheckedInputs.of(programs.torch_runner(net), inputs_of(kind), made_up(KINDS[kind]))


@pytest.mark.parametrize("scale", [0.3, 1.0, 7.5])
@pytest.mark.parametrize("size", [8, 32, 256])
def test_the_pixels_are_those_of_the_input_layer_bit_by_bit(size: int, scale: float) -> None:
    made = made_up(Inputs.images(size))
    real = np.random.default_rng(2).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    images = torch.from_numpy(np.concatenate([np.stack([*made.values()]), real]))

    layer = Standardise(scale)
    found, wanted = guarded(layer)(images), layer(images)
    assert torch.equal(found, wanted) and found.stride() == wanted.stride()
    grey = [place for place, name in enumerate(made) if name.startswith("one colour, ")][:3]
    assert not found[grey].any() and found.isfinite().all()


def test_the_bound_is_below_the_least_contrast_of_the_largest_images() -> None:
    size = 1024  # the most that `prepare.size_px` allows
    images = torch.full((1, size, size, 3), 127, dtype=torch.uint8)
    images[0, 5, 5, 0] = 128
    assert torch.equal(GuardedStandardise(2.0)(images), Standardise(2.0)(images))


def test_a_guarded_net_shares_its_weights_and_leaves_the_net_alone() -> None:
    net = small_net("conv2")
    before = dict(net.named_modules())
    safe = guarded(net)
    assert dict(net.named_modules()) == before and type(net.standardise) is Standardise
    assert not safe.training and type(safe.standardise) is GuardedStandardise
    assert safe.standardise.input_scale == net.standardise.input_scale
    pairs = zip(net.named_parameters(), safe.named_parameters(), strict=True)
    assert all(name == other and one is two for (name, one), (other, two) in pairs)


def check_kind(kind: str) -> None:
    """Both programs of a net answer real and made-up inputs as it does, and have one free axis."""
    import onnx

    net = small_net(kind)
    sample = sample_of(kind, net)
    program = programs.captured(net, inputs_of(kind))
    exported = programs.program_bytes(program, description(kind))
    data = programs.onnx_bytes(program, description(kind))
    sample.compare("model.pt2", programs.read_program(exported)[0])
    sample.compare("model.onnx", programs.read_onnx(data)[0])

    graph = onnx.load_model_from_string(data).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    shapes = [value.type.tensor_type.shape.dim for value in values]
    free = [dim.dim_param for shape in shapes for dim in shape if not dim.HasField("dim_value")]
    assert set(free) == {"n"} and len(free) > 5
    assert {name for node in graph.node for name in node.output} <= {each.name for each in values}


@needs_onnx
@pytest.mark.parametrize("kind", QUICK)
def test_files_answer_made_up_inputs_and_have_one_free_axis(kind: str) -> None:
    check_kind(kind)


@needs_onnx
@pytest.mark.middle
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in QUICK])
def test_files_of_all_other_kinds_do_so(kind: str) -> None:
    check_kind(kind)


@needs_onnx
@pytest.mark.parametrize("kind", ["conv3"])
def test_the_guard_outlives_optimisers_and_numbers_of_16_bits(kind: str) -> None:
    import onnx
    import onnxruntime
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxscript import optimizer

    net = small_net(kind)
    data = programs.onnx_bytes(programs.captured(net, inputs_of(kind)), description(kind))
    sample = sample_of(kind, net)
    again = optimizer.optimize(onnx.load_model_from_string(data))
    sample.compare("optimised", programs.read_onnx(again.SerializeToString())[0])

    half = convert_float_to_float16(onnx.load_model_from_string(data), keep_io_types=True)
    session = onnxruntime.InferenceSession(half.SerializeToString())
    images = np.stack([image for name, image in sample.made.items() if "one colour" in name])
    (logits,) = session.run(["logits"], {"images": images})
    assert np.isfinite(logits).all()


@needs_onnx
def test_a_file_without_the_guard_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of an export is not content with real images."""
    monkeypatch.setattr(programs, "guarded", lambda net: net)
    for kind in ("mlp2", "conv1"):
        net = small_net(kind)
        sample = sample_of(kind, net)
        program = programs.captured(net, inputs_of(kind))
        runner = programs.read_onnx(programs.onnx_bytes(program, description(kind)))[0]

        real = runner(sample.tested)
        np.testing.assert_allclose(real, sample.wanted, atol=1e-4 * np.abs(sample.wanted).max())
        with pytest.raises(
            ValueError, match=r"model.onnx gives .* made-up input \(one colour, 0\)"
        ):
            sample.compare("model.onnx", runner)
