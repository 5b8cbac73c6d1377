"""extra: further test sets, asked of every net -> data/extra (Hendrycks and Dietterich 2019).

Reads the folders of `prepare.extra_tests` and the nets that are reported: the ensemble, the best
teacher by validation error and the best trial of every cell that params.yaml lists. Their hashes
are in the trial tables: DVC runs this stage again when a table changes. Writes the class that each
net names for each image; assess makes tables of them. No other stage reads these sets, so nothing
is trained on them and nothing is chosen by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stages.images.pictures import PictureRule
from stages.images.sources.extra import read_all
from stages.images.sources.extra_sets import ExtraSet
from stages.report.cells import read_cells
from stages.report.stored import best_outputs
from stages.runtime import entry
from stages.runtime.engines import Engine, from_settings
from stages.runtime.executors import Serial
from stages.runtime.raw_data import raw_tests
from stages.runtime.shares import run_shares, shared_among
from stages.runtime.work import work_folder
from stages.settings import common
from stages.settings.prepare import Prepare, prepare
from stages.settings.read import read_params
from stages.store.ensemble_manifest import EnsembleManifest, files_of, net_path
from stages.store.extra_scores import ExtraScores, extra_path, write_extra_scores
from stages.store.manifest import fresh_folder, write_manifest
from stages.store.predictions import mean_logits, read_test_logits
from stages.store.prepared import PreparedManifest
from stages.store.tensors import read_tensors
from stages.trials.scored import SAMPLE, ScoredNet, ScoredPart, ScoreJob, key_of

PREPARED = Path("data/prepared")
ENSEMBLE = Path("data/ensemble")
METRICS = Path("metrics")
DATA = Path("data")
OUT = Path("data/extra")
PRELOAD = ("stages.trials.extra_trial",)
IMAGES_PER_PROCESS = 20_000
"""A process more for each twenty thousand images through a net: some seconds on one CPU core."""


def remote_score(
    job: ScoreJob, places: list[int], on_part: Callable[[], None] | None = None
) -> None:
    """Ask the nets about some parts; imports torch where it runs."""
    from stages.trials.extra_trial import score_parts

    score_parts(job, places, on_part)


def read_nets(params: dict[str, Any]) -> Iterator[ScoredNet]:
    """The nets that are reported, the ensemble and its first member first.

    Raises:
        FileNotFoundError: a cell was not run.
        ValueError: outputs are damaged, or not those of the nets in the trial tables.
    """
    manifest = EnsembleManifest.read(ENSEMBLE)
    members = read_test_logits(ENSEMBLE / "test.safetensors")["members"]
    nets = tuple(net_path(ENSEMBLE, place, manifest) for place in range(len(manifest.members)))
    of_nets = [files_of(net) for net in nets]

    mean = mean_logits({place: net[:SAMPLE] for place, net in members.items()}, manifest.weights)
    key = key_of([file for of_net in of_nets for file in of_net], manifest.weights)
    shares = manifest.weights
    yield ScoredNet("ensemble", "teacher", nets, mean.astype(np.float32), key, shares)
    yield ScoredNet("teacher", "teacher", nets[:1], members[0][:SAMPLE], key_of(of_nets[0]))

    for name, cell in read_cells(METRICS, params).items():
        outputs = best_outputs(DATA, METRICS, name, cell)
        files = (DATA / name.files / "weights.safetensors",)
        yield ScoredNet(name.words, "student", files, outputs[:SAMPLE], key_of(files))


def open_sets(
    settings: Prepare, prepared: PreparedManifest, rule: PictureRule
) -> tuple[list[ExtraSet], tuple[ScoredPart, ...]]:
    """All test sets, and their parts in the same order.

    Raises:
        FileNotFoundError, ValueError: a folder is missing or not usable, or two sets have one name.
    """
    sets: list[ExtraSet] = []
    parts = []

    columns = (settings.image_column, settings.label_column)
    for each in read_all(raw_tests(settings), prepared.classes, rule, *columns):
        found = each.found
        note_lacking(found, prepared.classes)
        sets.append(found)
        for place, part in enumerate(found.parts):
            key = part.fingerprint()
            where = (each.which, place)
            parts.append(ScoredPart(each.key, each.test, where, len(found.labels), key))

    return sets, tuple(parts)


def note_lacking(found: ExtraSet, classes: tuple[str, ...]) -> None:
    """Say which classes have no image: the set may be of other classes."""
    counts = np.bincount(found.labels, minlength=len(classes))
    lacking = [classes[i] for i in np.flatnonzero(counts == 0)]
    if lacking:
        more = f" and {len(lacking) - 5} more" if lacking[5:] else ""
        print(f"extra: note: {found.name} has no image of {', '.join(lacking[:5])}{more}")


def score_all(job: ScoreJob, engine: Engine, processes: int) -> None:
    """Ask every net about every part, in this process or in several."""
    # Parts with the same images have one result, and a file has one writer at a time.
    first = {part.fingerprint: place for place, part in reversed([*enumerate(job.parts)])}
    places = sorted(first.values())
    images = sum(part.count for part in job.parts)

    with tqdm(total=images, desc="extra", unit="image", unit_scale=True, disable=None) as bar:

        def progress() -> None:
            done = (part.count for part in job.parts if not job.missing(part))
            bar.update(sum(done) - bar.n)

        if isinstance(engine, Serial):
            remote_score(job, places, progress)
        else:
            run_shares(engine, remote_score, job, places, processes, progress)


def write_outputs(job: ScoreJob, sets: list[ExtraSet]) -> None:
    """A file for each set, and the manifest; results that no set needs any more are removed."""
    out = fresh_folder(OUT)
    names = tuple(net.name for net in job.nets)
    parts = iter(job.parts)
    used = set()

    for found in sets:
        of_set = islice(parts, len(found.parts))
        files = [[job.result(part, net) for net in job.nets] for part in of_set]
        named = [[read_tensors(file)[0]["named"] for file in of_part] for of_part in files]
        used |= {file for of_part in files for file in of_part}

        corruptions = tuple(part.corruption for part in found.parts)
        by_net = np.swapaxes(np.array(named), 0, 1)
        scores = ExtraScores(names, corruptions, found.severities, found.labels, by_net)
        write_extra_scores(extra_path(out, found.name), scores)

    write_manifest(out, {"sets": [found.name for found in sets]})
    for file in set(job.work.glob("*.safetensors")) - used:
        file.unlink()


def main() -> None:
    """Run the stage."""
    params = read_params()
    settings = prepare(params)
    numerics = common.numerics(params)
    execution = common.execution(params)

    if not settings.extra_tests:
        write_manifest(fresh_folder(OUT), {"sets": []})
        print("extra: no further test sets (prepare.extra_tests)")
        return

    # What is asked, and who; what is bad is refused before anything is computed.
    prepared = PreparedManifest.read(PREPARED)
    rule = PictureRule(prepared.inputs.map[0], prepared.fit or "exact")
    nets = tuple(read_nets(params))
    sets, parts = open_sets(settings, prepared, rule)

    # Results are kept by the hashes of images and nets, so that new ones alone are computed.
    with work_folder("extra", {"numerics": asdict(numerics)}, [], __file__) as work:
        job = ScoreJob(
            work,
            PREPARED,
            parts,
            nets,
            prepared.classes,
            rule,
            numerics,
            execution.device,
            settings.image_column,
            settings.label_column,
        )

        with from_settings(execution, PRELOAD, [PREPARED, ENSEMBLE]) as asked:
            passes = len(nets) * sum(part.count for part in parts)
            engine, processes = shared_among(asked, passes, IMAGES_PER_PROCESS, len(parts))
            score_all(job, engine, processes)

        write_outputs(job, sets)

    images = sum(len(found.labels) * len(found.parts) for found in sets)
    print(
        f"extra: {len(nets)} nets on {images:,} images of {', '.join(each.name for each in sets)}"
    )


if __name__ == "__main__":
    entry.run(main)
