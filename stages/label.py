"""label: the ensemble's logits for exactly the augmented images -> data/logits, the targets of every mimic net.

Reads data/ensemble, data/augmented (and data/prepared where only draws were stored). Writes one shard an epoch:
float32 logits, the arithmetic mean over members of their pre-softmax outputs, not standardised (Urban et al. 2017,
sections 2.2 and 2.7; assumption 18), bound to their images by hash.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from stages.fit.device import choose_device, set_up_torch
from stages.fit.evaluate import logits
from stages.images.hsv import Jitter
from stages.images.views import Views
from stages.nets.teacher import build_teacher
from stages.settings import common
from stages.settings.read import read_params
from stages.store import door
from stages.store.atomic import link_or_copy
from stages.store.prepared import read_train
from stages.store.shards import read_logits, shard_path, write_logits
from stages.store.transfer import EpochShard, Rebuild, read_epoch
from stages.store.weights import load_weights
from stages.store.work import fresh_folder, read_manifest, work_folder, write_manifest

PREPARED = Path("data/prepared")
AUGMENTED = Path("data/augmented")
ENSEMBLE = Path("data/ensemble")
OUT = Path("data/logits")


def rebuilder(prepared: Path, augmented: Path, device: torch.device) -> Rebuild | None:
    """What makes images from draws, where the shards hold draws only."""
    facts = read_manifest(augmented)
    if facts["store"] == "images":
        return None
    views = Views(
        read_train(prepared)[0], device, Jitter(*facts["hsv"].values()), facts["crop_min_px"]
    )
    return lambda index, draws: views(index, draws).cpu().numpy()


def load_members(folder: Path, device: torch.device) -> list[nn.Module]:
    """The ensemble's nets on the device, in the order of their choice."""
    nets = []
    for place in range(len(read_manifest(folder)["members"])):
        state, description = load_weights(folder / f"member-{place:02d}.safetensors")
        net = build_teacher(**description)
        net.load_state_dict(state)
        nets.append(net.to(device, memory_format=torch.channels_last))
    return nets


def mean_logits(nets: list[nn.Module], images: np.ndarray, batch: int, precision: str) -> np.ndarray:
    """Mean over nets, in float64, of their logits; float32 (n, classes)."""
    pixels = torch.from_numpy(images)
    total = sum(logits(net, pixels, batch, precision).cpu().numpy().astype(np.float64) for net in nets)
    return (total / len(nets)).astype(np.float32)


def have(folder: Path, epoch: int, shard: EpochShard) -> bool:
    """Whether whole logits of these images are there from an earlier, interrupted run."""
    try:
        read_logits(folder, epoch, shard.images_sha256)
    except (FileNotFoundError, ValueError):
        return False
    return True


def main() -> None:
    """Run the stage."""
    params = read_params()
    numerics = common.numerics(params)
    device = choose_device(common.execution(params).device)
    set_up_torch(numerics.threads, device)
    facts = read_manifest(AUGMENTED)
    nets = load_members(ENSEMBLE, device)
    rebuild = rebuilder(PREPARED, AUGMENTED, device)
    with work_folder("label", {"numerics": asdict(numerics)}, [AUGMENTED, ENSEMBLE], __file__) as work:
        with tqdm(total=facts["epochs"] * facts["images"], desc="label", unit="image", disable=None) as bar:
            for epoch in range(facts["epochs"]):
                shard = read_epoch(AUGMENTED, epoch, rebuild)
                if not have(work, epoch, shard):
                    values = mean_logits(nets, shard.images, numerics.eval_batch, numerics.precision)
                    write_logits(work, epoch, values, shard.images_sha256)
                bar.update(facts["images"])
        out = fresh_folder(OUT)
        for epoch in range(facts["epochs"]):
            link_or_copy(shard_path(work, epoch), shard_path(out, epoch))
        write_manifest(out, {"epochs": facts["epochs"], "members": len(nets)})
    print(f"label: {facts['epochs']} epochs of {facts['images']} images by {len(nets)} nets")


if __name__ == "__main__":
    door.run(main)
