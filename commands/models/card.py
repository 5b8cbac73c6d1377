"""The model card beside an export: what the net is, how good it is, how it was made."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from commands.models.files import LABELS
from commands.models.licences import licence
from commands.models.programs import OUTPUT, input_name
from stages.images.colours import BACKGROUND
from stages.images.pictures import PictureRule
from stages.settings.inputs import Inputs

MARK = "<!-- written by python -m commands.export -->"
"""The sign of a card: export overwrites no other file."""

SPLITS = {"train": "training"}

MOST_NAMES = 200
"""Class names that a card lists; all are in the files."""

LICENCE = "unknown"
"""What the head says: nobody has chosen a licence for the net. The Hugging Face hub knows the word."""


@dataclass(frozen=True)
class Facts:
    """What a card says, as found in the run.

    Attributes:
        title: row, budget and kind of the net.
        description: as in the exported files, see `commands.export`.
        counts: split -> number of images or vectors.
        table: further lines of the table, name -> text.
        training: paragraphs on how the net was trained.
        hyperparameters: of the chosen trial.
        measured: split -> accuracy, None where it was not measured.
        limits: sentences besides those that hold for every net.
        differences: exported file -> largest difference of a logit from the torch net.
        sample: test images or vectors on which that was measured.
        made: what the made-up inputs are that every file has answered too.
        files: exported file -> sha256.
        versions: library -> version, of this export.
        commit: of the code that exported, in words.
    """

    title: str
    description: Mapping[str, Any]
    counts: Mapping[str, int]
    table: Mapping[str, str]
    training: Sequence[str]
    hyperparameters: Mapping[str, str]
    measured: Mapping[str, float | None]
    limits: Sequence[str]
    differences: Mapping[str, float]
    sample: int
    made: Sequence[str]
    files: Mapping[str, str]
    versions: Mapping[str, str]
    commit: str


def text(facts: Facts) -> str:
    """The card as Markdown, behind a head in YAML as the Hugging Face hub reads it."""
    described = facts.description
    versions = ", ".join(f"{library} {version}" for library, version in facts.versions.items())

    parts = [
        f"---\n{_yaml(head(facts))}---",
        f"# {facts.title}",
        f"A net for {described['data']}, trained and exported by mimicnets, a pipeline for the "
        "experiment of Urban et al., *Do Deep Convolutional Nets Really Need to be Deep and "
        "Convolutional?* (ICLR 2017).",
        _table(("", ""), {**_data(facts), **facts.table, **_accuracies(facts.measured)}),
        "## Input and output\n\n" + _shapes(described),
        "## Classes\n\n" + _classes(described["classes"]),
        "## How it was trained\n\n" + "\n\n".join(facts.training),
        _table(("hyperparameter", "value"), facts.hyperparameters),
        "## Intended use and limits\n\n" + _limits(facts),
        "## Licence of the data\n\n" + licence(described["source"]),
        f"The head of this card says `license: {LICENCE}`, since nobody has chosen one for the net "
        "itself: write yours there before you publish it.",
        "## Files\n\n" + _files(facts),
        f"Exported with {versions}, at {facts.commit}.",
        MARK,
    ]

    return "\n\n".join(parts) + "\n"


def head(facts: Facts) -> dict[str, Any]:
    """What the head of the card says, by the Hugging Face hub's names.

    https://huggingface.co/docs/hub/model-cards; measured accuracies only.
    """
    described = facts.description
    is_images = Inputs.from_json(described).is_images
    task = "image-classification" if is_images else "other"
    kind = input_name(described)

    results = [
        {
            "task": {"type": task, "name": f"classification of {kind}"},
            "dataset": {
                "type": described["source"],
                "name": described["data"],
                "split": split,
            },
            "metrics": [
                {"type": "accuracy", "value": round(float(share), 6), "name": f"{split} accuracy"}
            ],
        }
        for split, share in facts.measured.items()
        if share is not None
    ]

    tags = ["mimicnets", kind, *(name.removeprefix("model.") for name in facts.differences)]
    pipeline = {"pipeline_tag": task} if is_images else {}
    return {
        "license": LICENCE,
        "library_name": "mimicnets",
        **pipeline,
        "tags": tags,
        "metrics": ["accuracy"],
        "model-index": [{"name": facts.title, "results": results}],
    }


def _yaml(value: Mapping[str, Any]) -> str:
    """A mapping as YAML, in its own order."""
    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    writer.width = 10_000  # no breaks inside of texts
    stream = io.StringIO()
    writer.dump(value, stream)
    return stream.getvalue()


def _table(head: tuple[str, str], lines: Mapping[str, str]) -> str:
    """A Markdown table of two columns."""
    rows = (f"| {name} | {value} |".replace("\n", " ") for name, value in _escaped(lines).items())
    return "\n".join([f"| {head[0]} | {head[1]} |", "| --- | --- |", *rows])


def _escaped(lines: Mapping[str, str]) -> dict[str, str]:
    return {name: value.replace("|", "\\|") for name, value in lines.items()}


def _data(facts: Facts) -> dict[str, str]:
    """The line on the data set."""
    described = facts.description
    counts = ", ".join(
        f"{count:,} {SPLITS.get(split, split)}" for split, count in facts.counts.items()
    )
    source = f"{described['data']} (source `{described['source']}`)"
    return {"data set": f"{source}: {counts} {input_name(described)}"}


def _accuracies(measured: Mapping[str, float | None]) -> dict[str, str]:
    """The lines on accuracies."""
    return {
        f"{split} accuracy": "not measured by the run" if share is None else f"{share:.4f}"
        for split, share in measured.items()
    }


def _shapes(described: Mapping[str, Any]) -> str:
    """The section on inputs and outputs."""
    classes = len(described["classes"])
    out = f"Output `{OUTPUT}`: float32 `(n, {classes})`, before the softmax. `n` may be any number."

    inputs = Inputs.from_json(described)
    if inputs.shape is not None:
        shape = ", ".join(map(str, inputs.shape))
        return (
            f"Input `vectors`: float32 `(n, {shape})`, **standardised**: subtract `mean` and divide by "
            "`deviation` of `statistics.safetensors`, those of the training vectors. The net does not "
            f"do this.\n\n{out}"
        )

    size = inputs.size_px
    return (
        f"Input `images`: uint8 `(n, {size}, {size}, 3)`: rows, columns, and red, green, blue from 0 "
        "to 255. Each image is standardised inside the net (minus its own mean, divided by its own "
        f"standard deviation): give the pixels as they are.\n\n{_pictures(described)}\n\n{out}"
    )


def _pictures(described: Mapping[str, Any]) -> str:
    """How a picture became such an image."""
    if "fit" not in described:
        return "How pictures of another size became images is not recorded."

    rule = PictureRule(described["size_px"], described["fit"])
    return (
        "A picture becomes such an image so (`python -m commands.predict` does it): turned as its EXIF "
        f"data say, transparent parts {BACKGROUND}, grey as equal red, green and blue, of 16 bits the "
        f"upper 8, without its colour profile. A picture of another size was, in training: {rule.words}."
    )


def _classes(names: Sequence[str]) -> str:
    """The section on the classes."""
    shown = ", ".join(_name(name) for name in names[:MOST_NAMES])
    more = ""
    if len(names) > MOST_NAMES:
        more = f", and {len(names) - MOST_NAMES:,} more, which the files name"
    return (
        f"{len(names):,} classes, in the order of the outputs, the first is 0: {shown}{more}. "
        f"`{LABELS}` has them as a JSON list."
    )


def _name(name: str) -> str:
    """A class name; in quotes where commas, spaces at an end or signs of Markdown would mislead."""
    odd = not name.isprintable() or name != name.strip() or set(name) & set(",`*<>|\\[]")
    return f"``{json.dumps(name, ensure_ascii=False)}``" if odd or not name else name


def _limits(facts: Facts) -> str:
    """The section on use and limits."""
    described = facts.description
    lines = [
        "For research on shallow and deep nets under a budget of parameters, for teaching, and for "
        "trying out. Not for decisions about people or safety.",
        f"It always answers with one of its {len(described['classes'])} classes, "
        "also for what is none of them.",
        f"Accuracies are on {described['data']} alone, split as above. Other data, noise, attacks, "
        "and differences between groups of people or places were not measured.",
        *facts.limits,
    ]

    inputs = Inputs.from_json(described)
    if inputs.is_images:
        size = inputs.size_px
        lines.append(
            f"Images of another size have to be made {size} x {size} px first; the loss was not measured."
        )

    return "\n".join(f"- {line}" for line in lines)


def _files(facts: Facts) -> str:
    """The section on the files."""
    rows = []
    for name, digest in facts.files.items():
        difference = facts.differences.get(name)
        shown = "" if difference is None else f"{difference:.2g}"
        rows.append(f"| `{name}` | {shown} | `{digest}` |")

    head = ["| file | largest difference | sha256 |", "| --- | --- | --- |"]
    note = (
        f"Differences are of a logit, from the net in torch as it was trained, on {facts.sample} test "
        f"{input_name(facts.description)}, in batches of 1, 7 and 64. Every file has also given the "
        f"net's answers to {len(facts.made)} made-up {input_name(facts.description)}: "
        f"{'; '.join(facts.made)}."
    )

    return "\n".join([*head, *rows]) + f"\n\n{note}"
