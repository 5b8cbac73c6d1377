"""augment: epochs of augmented training images -> data/augmented, what every student sees in the same order.

Reads the training images of data/prepared. Writes one shard an epoch (Urban et al. 2017, section 2.5): images in
the order of presentation, their index, label and draws; any epoch is a function of (seed, epoch) alone. Writes
data/samples too: a few images and their first views, for the plots.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from stages.fit.device import choose_device
from stages.images.draws import draw, order
from stages.images.hsv import Jitter
from stages.images.views import Views
from stages.settings import common
from stages.settings.prepare import augment
from stages.settings.read import read_params
from stages.store import door
from stages.store.atomic import link_or_copy
from stages.store.prepared import read_train
from stages.store.shards import read_images, shard_path, write_images
from stages.store.tensors import write_tensors
from stages.store.work import fresh_folder, work_folder, write_manifest

PREPARED = Path("data/prepared")
OUT = Path("data/augmented")
SAMPLES = Path("data/samples")
SAMPLE_IMAGES, SAMPLE_EPOCHS = 10, 8


@dataclass(frozen=True)
class Plan:
    """What is presented when: order and draws of each epoch of the transfer set."""

    seed: int
    count: int
    size_px: int
    images: common.Images

    def order(self, epoch: int) -> np.ndarray:
        """Permutation int32 (count,)."""
        return order(self.seed, epoch, "transfer", self.count)

    def draws(self, epoch: int) -> np.ndarray:
        """uint16 (count, 9), in the order of presentation."""
        return draw(
            self.seed,
            epoch,
            "transfer",
            self.count,
            size_px=self.size_px,
            crop_min=self.images.crop_min_px,
            mirror=self.images.mirror,
        )


def have(folder: Path, epoch: int) -> bool:
    """Whether a whole shard of this epoch is there from an earlier, interrupted run."""
    try:
        read_images(folder, epoch)
    except (FileNotFoundError, ValueError):
        return False
    return True


def samples(views: Views, pixels: np.ndarray, plan: Plan, epochs: int) -> dict[str, np.ndarray]:
    """The first training images and their views in the first epochs, the same as in the shards."""
    chosen = np.arange(min(SAMPLE_IMAGES, len(pixels)), dtype=np.int32)
    shown = []
    for epoch in range(min(SAMPLE_EPOCHS, epochs)):
        place = np.argsort(plan.order(epoch))[chosen]
        shown.append(views(chosen, plan.draws(epoch)[place]).cpu().numpy())
    return {"originals": pixels[chosen], "views": np.stack(shown, axis=1)}


def main() -> None:
    """Run the stage."""
    params = read_params()
    section, images, seed = augment(params), common.images(params), common.seed(params)
    device = choose_device(common.execution(params).device)
    torch.set_num_threads(common.numerics(params).threads)
    settings = {"seed": seed, "section": asdict(section), "images": asdict(images)}
    pixels, labels, _ = read_train(PREPARED)
    views = Views(pixels, device, Jitter(*asdict(section.hsv).values()), images.crop_min_px)
    plan = Plan(seed, len(labels), pixels.shape[1], images)
    with work_folder("augment", settings, [PREPARED], __file__) as work:
        total = section.epochs * plan.count
        with tqdm(total=total, desc="augment", unit="image", disable=None) as bar:
            for epoch in range(section.epochs):
                if not have(work, epoch):
                    index, draws = plan.order(epoch), plan.draws(epoch)
                    write_images(
                        work,
                        epoch,
                        images=views(index, draws).cpu().numpy(),
                        index=index,
                        labels=labels[index],
                        draws=draws,
                        keep_images=section.store == "images",
                    )
                bar.update(plan.count)
        out = fresh_folder(OUT)
        for epoch in range(section.epochs):
            link_or_copy(shard_path(work, epoch), shard_path(out, epoch))
        facts = {"epochs": section.epochs, "store": section.store, "hsv": asdict(section.hsv)}
        write_manifest(out, {**facts, "crop_min_px": images.crop_min_px, "images": plan.count})
        shown = samples(views, pixels, plan, section.epochs)
        write_tensors(fresh_folder(SAMPLES) / "augmented.safetensors", shown, {})
    print(f"augment: {section.epochs} epochs of {plan.count} images, stored as {section.store}")


if __name__ == "__main__":
    door.run(main)
