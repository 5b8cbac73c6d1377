"""Whether as many trials as were asked for can share a GPU, asked before the first one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stages.fit.evaluate import autocast

COPIES = 4
"""Of each parameter: the weight, its gradient, its momentum, and the weight of the best epoch."""


def check_room(
    net: nn.Module,
    images: Tensor,
    batch: int,
    precision: str,
    device: torch.device,
    trials: int,
    graphs: bool,
) -> None:
    """Refuse more trials on a GPU than fit into its memory; on a CPU nothing is checked.

    Args:
        net: one like those that will be trained, on the host.
        images: two of them as the net takes them, uint8 (2, s, s, 3) or vectors float32 (2, ...),
            on the host.
        batch: images of a step.
        precision: "fp32" or "bf16".
        device: where they will be trained.
        trials: at a time.
        graphs: whether their steps are captured.

    Raises:
        ValueError: even the least that all of them need at a time is more than the GPU has free.
    """
    if device.type != "cuda":
        return

    least = least_bytes(net, images, batch, precision, graphs)
    free, total = torch.cuda.mem_get_info(device)
    if least * trials <= free:
        return

    most = free // least
    remedy = f"lower it to {most} or less" if most else "lower training.batch_size in params.yaml"
    raise ValueError(
        f"execution.trials_per_gpu is {trials}: training a net from the middle of the search takes "
        f"at least {least / 2**30:.3g} GiB and {torch.cuda.get_device_name(device)} has "
        f"{free / 2**30:.3g} of its {total / 2**30:.3g} GiB free: {remedy}"
    )


def least_bytes(
    net: nn.Module, images: Tensor, batch: int, precision: str, graphs: bool = False
) -> int:
    """Least bytes of training: parameters, and what a batch leaves for its backward pass.

    The graph of a captured step keeps a pool of its own for that, as long as the trial lasts. The
    eager steps, of which an epoch's last batch is one, have theirs in another pool: with `graphs` a
    batch counts twice.

    More comes on top: the driver's own, workspaces, the data. Measured on the host with one image
    and with two; the net is run in eval mode, since masks of dropout take another type there than
    on a GPU.
    """
    one = left_behind(net, images[:1].clone(), precision)
    two = left_behind(net, images[:2].clone(), precision)
    weights = sum(tensor.untyped_storage().nbytes() for tensor in net.parameters())
    of_a_batch = one + (batch - 1) * (two - one)
    return COPIES * weights + (2 if graphs else 1) * of_a_batch


def left_behind(net: nn.Module, images: Tensor, precision: str) -> int:
    """Bytes that a forward pass keeps for the backward pass, but for the parameters themselves."""
    parameters = {tensor.untyped_storage().data_ptr() for tensor in net.parameters()}
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    # Forward pass
    training = net.training
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.enable_grad(), autocast(torch.device("cpu"), precision):
        net.eval()(images).float().sum()
    net.train(training)

    return sum(
        tensor.untyped_storage().nbytes()
        for place, tensor in saved.items()
        if place not in parameters
    )
