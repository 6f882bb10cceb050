"""Two processes that share the work of an evaluation get exactly the scores of one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import SIZE, run_ranks
from tiny import make_generator
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.sources import open_sources
from stargan_lab.evaluation import attribute_classifier as classifier
from stargan_lab.evaluation.evaluator import Options, assemble
from stargan_lab.labels import LabelLayout
from stargan_lab.training.distributed import ALONE, World, joined
from stargan_lab.translation.translator import Translator

IMAGES, BATCH = 40, 16
"""Test images of each dataset; a domain has three batches, so that the processes divide two domains, not one."""


@dataclass
class Counted:
    """A generator that counts the images it translates."""

    translator: Translator
    sizes: list[int] = field(default_factory=list)

    def __call__(self, images: Tensor, labels: Tensor, source: int) -> Tensor:
        self.sizes.append(len(images))
        return self.translator(images, labels, source)


@contextmanager
def quick_attribute_classifiers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "RECIPE", replace(classifier.RECIPE, min_steps=40, max_steps=40))
        yield


def datasets(outputs: Path) -> list[ImageSource]:
    small = {"train": 100, "valid": IMAGES, "test": IMAGES}
    faces = {"kind": "synthfaces", "attributes": ("Black_Hair", "Blond_Hair", "Male"), **small}
    sources = open_sources({"faces": faces, "moods": {"kind": "synthexpressions", **small}}, 32, outputs)
    for source in sources:
        source.prepare()
    return sources


def scored(world: World, outputs: Path) -> dict[str, Any]:
    """Scores of a random generator, and the sizes of the batches that this process translated."""
    options = Options(extractor=None, weights=None, dims=None, checkpoint="last", max_images=None, batch_size=BATCH)
    with quick_attribute_classifiers(), world.in_turn():
        sources = datasets(outputs)
        evaluator = assemble(sources, options, outputs, "cpu", progress=False, world=world)
    layout = LabelLayout(tuple(source.spec for source in sources))
    torch.manual_seed(1)
    translate = Counted(Translator(make_generator(layout.generator_width), layout))
    return {"scores": asdict(evaluator.score(translate)), "sizes": translate.sizes}


def work(rank: int, outputs: Path) -> None:
    with joined(SIZE, on_gpu=False) as world:
        (outputs / f"{rank}.json").write_text(json.dumps(scored(world, outputs)))


@pytest.mark.slow
def test_scores_of_two_processes_equal_those_of_one(tmp_path: Path) -> None:
    run_ranks(work, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(SIZE))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = json.loads(json.dumps(scored(ALONE, tmp_path)))
    finally:
        torch.set_num_threads(threads)
    assert len(alone["scores"]["metrics"]) > 100 and any("cross" in name for name in alone["scores"]["metrics"])
    assert first["scores"] == alone["scores"]  # every value to its last bit, notes and warnings
    assert not second["scores"]["metrics"]
    assert sorted(first["sizes"] + second["sizes"]) == sorted(alone["sizes"])  # each batch by one of them
    shares = [sum(each["sizes"]) / sum(alone["sizes"]) for each in (first, second)]
    assert min(shares) > 0.4, shares
