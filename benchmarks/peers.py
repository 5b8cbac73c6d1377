"""The loops that a user would otherwise run, which `benchmarks.train` times beside ours.

Written from the design of those projects, with torch's own parts and default settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from stages.fit.losses import LOSSES

if TYPE_CHECKING:
    from benchmarks.train import Task

MEAN = (0.4914, 0.4822, 0.4465)
DEVIATION = (0.2470, 0.2435, 0.2616)


class Peer:
    """A net on normalised float images, its optimiser, and one step as those loops write it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        # Without the standardisation: the transforms do it.
        self.net = task.net()[1:].to(task.device).train()
        self.optimizer = torch.optim.SGD(
            self.net.parameters(), lr=1e-4, momentum=0.9, nesterov=True
        )
        self.mimic = LOSSES["l2_on_logits"]
        self.label = nn.CrossEntropyLoss()

    def step(self, images: Tensor, labels: Tensor, logits: Tensor | None) -> Tensor:
        """Forward, backward, update."""
        outputs = self.net(images)
        loss = self.label(outputs, labels) if logits is None else self.mimic(outputs, logits)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.outputs = outputs.detach()
        return loss

    def read_back(self, loss: Tensor, labels: Tensor) -> float:
        """Loss and accuracy of the batch as numbers, as these loops log them."""
        return loss.item() + (self.outputs.argmax(1) == labels).float().mean().item()


class PerImage(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """One image at a time: PIL, crop with padding, mirror, tensor, normalise."""

    def __init__(self, task: Task) -> None:
        from torchvision import transforms

        self.images = task.images
        self.labels = task.labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, DEVIATION),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[place])), int(self.labels[place])


def with_loader(task: Task, teacher: nn.Sequential | None, workers: int) -> Callable[[], int]:
    """PIL and DataLoader, with the teacher's forward pass in every step, or on labels.

    Args:
        task: what is trained on.
        teacher: on the host, as all nets with the standardisation as its first layer.
        workers: processes of the DataLoader; 0: none.
    """
    peer = Peer(task)
    loader = torch.utils.data.DataLoader(
        PerImage(task),
        task.batch,
        shuffle=True,
        num_workers=workers,
        pin_memory=task.device.type == "cuda",
    )
    guide = None if teacher is None else teacher[1:].to(task.device).eval()

    def epoch() -> int:
        for images, labels in loader:
            images = images.to(task.device)
            labels = labels.to(task.device)
            logits = None
            if guide is not None:
                with torch.no_grad():
                    logits = guide(images)
            peer.read_back(peer.step(images, labels, logits), labels)

        return len(task.images)

    return epoch


def resident(task: Task) -> Callable[[], int]:
    """Float images on the device, torch eager in float32."""
    peer = Peer(task)
    pixels = torch.from_numpy(task.images).permute(0, 3, 1, 2).float().div_(255)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
    images = pixels.sub_(mean).div_(deviation).contiguous().to(task.device)
    labels = torch.from_numpy(task.labels).to(task.device)
    logits = torch.from_numpy(task.logits).to(task.device) if task.mimics else None

    def epoch() -> int:
        for start in range(0, len(images), task.batch):
            part = slice(start, start + task.batch)
            peer.step(images[part], labels[part], None if logits is None else logits[part])
        return len(images)

    return epoch
