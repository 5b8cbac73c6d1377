"""CIFAR-100's twenty superclasses, as its page lists them: five classes each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SUPERCLASSES = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}


def superclass_of(classes: Sequence[str]) -> np.ndarray:
    """The superclass of each class, int64 (classes,), numbered as SUPERCLASSES lists them.

    Raises:
        ValueError: a class is none of CIFAR-100's.
    """
    number = {
        fine: place for place, inside in enumerate(SUPERCLASSES.values()) for fine in inside.split()
    }
    unknown = [name for name in classes if name not in number]
    if unknown:
        raise ValueError(
            f"{', '.join(unknown[:5])}: no class of CIFAR-100, so its superclass is not known: set "
            "prepare.source to cifar100"
        )
    return np.array([number[name] for name in classes], np.int64)
