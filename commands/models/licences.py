"""What this project knows of the licence of each data source."""

from __future__ import annotations

UNKNOWN = "The licence of the data is not known to this project: ask whoever gave you the files."
_CIFAR = (
    "To this project's knowledge the page of {name} (https://www.cs.toronto.edu/~kriz/cifar.html) "
    "names no licence. It asks to cite A. Krizhevsky, *Learning Multiple Layers of Features from "
    "Tiny Images*, 2009. The images were collected from the web."
)
_SVHN = (
    "The page of SVHN (http://ufldl.stanford.edu/housenumbers/) says: for non-commercial use only."
)
LICENCES = {
    "cluttered-digits": (
        "Made from scikit-learn's digits (scikit-learn: BSD-3-Clause), a copy of the test set of "
        "*Optical Recognition of Handwritten Digits* by E. Alpaydin and C. Kaynak (1998) in the UCI "
        "Machine Learning Repository, https://archive.ics.uci.edu/dataset/80. To this project's "
        "knowledge UCI shares it under CC BY 4.0: see its page before you publish."
    ),
    "cifar10": _CIFAR.format(name="CIFAR-10"),
    "cifar100": _CIFAR.format(name="CIFAR-100"),
    "svhn": _SVHN,
    "svhn-extra": _SVHN,
    "svhn-full": _SVHN,
    "svhn-full-extra": _SVHN,
}
"""`prepare.source` -> what can be said; nothing of the user's own files."""


def licence(source: str) -> str:
    """One or two sentences on the licence of a source's data."""
    return LICENCES.get(source, UNKNOWN)
