"""CIFAR-100 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009): 100 fine
classes, five in each of 20 coarse ones."""

from __future__ import annotations

from typing import Literal

from fedrun.core.dataset import Dataset, Spec, Split
from fedrun.data._cifar import MIRRORS, SHAPE, Half, Layout, read_cifar
from fedrun.data._classes import Classes, only_classes
from fedrun.data._download import Remote
from fedrun.data._pixel import Normalize, scale_pixels

LAYOUT = Layout(
    name="cifar100",
    archive=Remote(
        "cifar-100-binary.tar.gz",
        168_513_733,
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
    folders=("cifar-100-binary", "cifar-100-python"),
    train=("train",),
    test=("test",),
    labels={"coarse_labels": 20, "fine_labels": 100},
)
COARSE = (
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables",
    "household_electrical_devices", "household_furniture", "insects", "large_carnivores",
    "large_man-made_outdoor_things", "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates", "people",
    "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
)  # fmt: skip
FINE = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle",
    "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle",
    "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab",
    "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl",
    "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard",
    "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree",
    "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain",
    "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose",
    "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip


def cifar100(
    *,
    root: str | None = None,
    label: Literal["fine", "coarse"] = "fine",
    client: Literal["none", "coarse"] = "none",
    normalize: Normalize = "none",
    classes: Classes = None,
) -> Dataset:
    """50,000 + 10,000 colour photographs of 32x32 pixels, 100 classes in 20 groups, over 255.

    root: folder with the binary or the Python batches, or with either .tar.gz archive, or that
        archive; null keeps the binary one in a per-user cache folder (FEDRUN_DATA moves it),
        downloaded and checked on first use.
    label: what is predicted: fine is 100 classes, coarse 20.
    client: coarse makes each of the 20 groups a natural client; none leaves rows to the partition.
    normalize: train also z-scores each channel by the training pictures; none leaves 0 to 1.
    classes: numbers of the classes that are kept, numbered anew in this order; null keeps all.
    """
    train, test = read_cifar(LAYOUT, root)
    x_train, x_test, prepared = scale_pixels(train.pixels, test.pixels, normalize)
    names = FINE if label == "fine" else COARSE

    def split(x: object, half: Half) -> Split:
        owner = half.labels["coarse_labels"] if client == "coarse" else None
        return Split(x, half.labels[f"{label}_labels"], owner)

    whole = Dataset(
        name="cifar100",
        spec=Spec(SHAPE, len(names), "classes", names),
        train=split(x_train, train),
        test=split(x_test, test),
        client_names=COARSE if client == "coarse" else (),
        source="CIFAR-100 batches" + ("" if root else f", {MIRRORS[0]}{LAYOUT.archive.name}"),
        prepared=prepared,
    )
    return only_classes(whole, classes)
