"""Sample grids: equal images in all runs, titles, and their tiles as read by the report."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stargan_lab import compose
from stargan_lab.cli.main import main
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.synthfaces.dataset import synthexpressions, synthfaces
from stargan_lab.data.transforms import to_uint8
from stargan_lab.errors import ConfigError
from stargan_lab.labels import LabelSpec, target_labels
from stargan_lab.report.image_strip import newest_samples
from stargan_lab.runs.run import run
from stargan_lab.runs.samples import SampleWriter, check_file_names

FACES = LabelSpec("faces", ("Black_Hair", "Blond_Hair", "Young"), groups=(("Black_Hair", "Blond_Hair"),))
MOODS = LabelSpec("moods", ("happy", "sad"), "categorical")
SIZE = 16


class Noise:
    """Twelve test images of noise, as an ``ImageSource`` and its only ``ImageSet``."""

    flip = False
    ground_truth = None

    def __init__(self, spec: LabelSpec, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        self.name, self.spec, self.fingerprint = spec.dataset, spec, str(seed)
        self.pixels = torch.randint(256, (12, 3, SIZE, SIZE), generator=random).to(torch.uint8)
        self.labels = torch.randint(2, (12, len(spec.names)), generator=random).float()
        self.names = [f"{spec.dataset}{index:02d}.png" for index in range(12)]

    def prepare(self) -> None: ...

    def splits(self) -> list[str]:
        return ["test"]

    def split(self, which: str) -> "Noise":
        return self

    def __len__(self) -> int:
        return len(self.names)

    def images(self, indices: list[int]) -> Tensor:
        return self.pixels[indices]


def faces() -> ImageSource:
    return Noise(FACES, 1)


def both() -> list[ImageSource]:
    return [Noise(FACES, 1), Noise(MOODS, 2)]


def shifted(images: Tensor, labels: Tensor, source: int) -> Tensor:
    """A translator whose pixels encode the target labels."""
    values = (labels * 2.0 ** torch.arange(labels.shape[1])).sum(1) + 16 * source
    return (values / 127.5 - 1)[:, None, None, None].expand_as(images)


def expected_pixel(labels: Tensor, source: int) -> Tensor:
    """The pixel value that ``shifted`` gives to labels (n, A)."""
    return to_uint8(shifted(torch.zeros(len(labels), 3, 1, 1), labels, source))[:, 0, 0, 0]


def test_grid_has_every_target_of_every_image(tmp_path: Path) -> None:
    source = faces()
    random_state = torch.get_rng_state()
    path = SampleWriter(tmp_path / "samples", [source], 5, SIZE).write(7, shifted)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert path == tmp_path / "samples" / "00000007.png"
    found = newest_samples(tmp_path)
    assert found is not None
    assert (found.step, found.columns, found.size) == (7, ("input", *FACES.names), SIZE)
    assert len(found.rows) == 5
    for index, row in enumerate(found.rows):
        assert (np.asarray(row[0]) == source.split("test").images([index])[0].permute(1, 2, 0).numpy()).all()
        for target, tile in enumerate(row[1:]):
            labels = source.split("test").labels[index : index + 1]
            value = expected_pixel(target_labels(labels, FACES, target), 0)
            assert (np.asarray(tile) == value.item()).all()


def test_images_of_two_datasets_get_the_targets_of_both(tmp_path: Path) -> None:
    SampleWriter(tmp_path / "samples", both(), 3, SIZE).write(1, shifted)
    about = json.loads((tmp_path / "samples" / "targets.json").read_text())
    names = ["faces: Black_Hair", "faces: Blond_Hair", "faces: Young", "moods: happy", "moods: sad"]
    assert about["columns"] == ["input", *names]
    assert about["rows"] == ["faces"] * 3 + ["moods"] * 3
    assert about["names"] == [f"{owner}0{index}.png" for owner in ("faces", "moods") for index in range(3)]
    found = newest_samples(tmp_path)
    assert found is not None and len(found.rows) == 6
    unknown = torch.zeros(1, 3)
    for row in found.rows[3:]:
        for target in range(3):
            assert (
                np.asarray(row[1 + target]) == expected_pixel(target_labels(unknown, FACES, target), 0).item()
            ).all()


def test_labels_under_another_datasets_names_are_predicted(tmp_path: Path) -> None:
    calls = []

    def predict_labels(images: Tensor, source: int, other: int) -> Tensor:
        calls.append((tuple(images.shape), images.dtype, source, other))
        return torch.ones(len(images), len(both()[other].spec.names))

    SampleWriter(tmp_path / "samples", both(), 3, SIZE, predict_labels=predict_labels).write(1, shifted)
    assert set(calls) == {((3, 3, SIZE, SIZE), torch.uint8, 0, 1), ((3, 3, SIZE, SIZE), torch.uint8, 1, 0)}
    found = newest_samples(tmp_path)
    assert found is not None
    value = expected_pixel(target_labels(torch.ones(1, 3), FACES, 2), 0)
    assert (np.asarray(found.rows[3][3]) == value.item()).all()


def test_images_are_picked_by_the_sample_seed_alone(tmp_path: Path) -> None:
    def picked(seed: int | None) -> list[int]:
        torch.manual_seed(sum(map(ord, str(seed))))
        torch.rand(3)
        return SampleWriter(tmp_path, [faces()], 4, SIZE, seed).indices[0]

    assert picked(None) == [0, 1, 2, 3]
    assert picked(1) == picked(1)
    assert len({tuple(picked(seed)) for seed in range(6)}) > 3
    for seed in range(6):
        assert len(set(picked(seed))) == 4 and picked(seed) == sorted(picked(seed))
    assert SampleWriter(tmp_path, [faces()], 50, SIZE, 1).indices[0] == list(range(12))


def test_images_picked_by_file_name(tmp_path: Path) -> None:
    samples = SampleWriter(tmp_path / "samples", both(), ["moods03.png", "faces07.png", "faces01.png"], SIZE)
    assert samples.indices == [[7, 1], [3]]
    samples.write(1, shifted)
    found = newest_samples(tmp_path)
    assert found is not None and len(found.rows) == 3
    only = SampleWriter(tmp_path / "only", both(), ["moods03.png"], SIZE)
    only.write(1, shifted)
    assert json.loads((tmp_path / "only" / "targets.json").read_text())["rows"] == ["moods"]


def test_missing_file_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer.sample_images: 'faces7.png' is not .*; did you mean 'faces07.png'"):
        SampleWriter(tmp_path, [faces()], ["faces7.png"], SIZE)


def test_tiles_are_enlarged_by_an_integer_factor(tmp_path: Path) -> None:
    source = faces()
    path = SampleWriter(tmp_path / "samples", [source], 2, SIZE).write(1, shifted)
    about = json.loads((tmp_path / "samples" / "targets.json").read_text())
    k, x, y = about["scale"], about["left"][0], about["top"][1]
    assert k > 1
    with Image.open(path) as image:
        assert image.format == "PNG"
        tile = np.asarray(image.convert("RGB"))[y : y + k * SIZE, x : x + k * SIZE]
    expected = source.split("test").images([1])[0].permute(1, 2, 0).numpy()
    assert (tile == expected.repeat(k, 0).repeat(k, 1)).all()


MAKERS: dict[str, Callable[[Path], PackedSource]] = {
    "faces": lambda out: synthfaces("faces", 16, out, train=5, valid=2, test=4),
    "faces, the reference's split": lambda out: synthfaces(
        "faces", 8, out, train=1, valid=1, test=2000, split="reference"
    ),
    "some expressions": lambda out: synthexpressions("x", 16, out, classes=("sad", "happy"), train=8, test=11),
}


@pytest.mark.parametrize("name", MAKERS)
def test_file_names_of_rendered_datasets_are_known_in_advance(name: str, tmp_path: Path) -> None:
    source = MAKERS[name](tmp_path)
    in_advance = {which: sorted(source.file_names(which)) for which in ("train", "test")}
    assert list(tmp_path.iterdir()) == []
    assert in_advance == {which: sorted(source.listing().splits()[which].names) for which in ("train", "test")}
    assert in_advance == {which: sorted(source.file_names(which)) for which in ("train", "test")}


def test_missing_file_name_is_refused_before_any_work(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "preset=tiny", "trainer.sample_images=[000001.png]"]) == 2  # of train
    err = capsys.readouterr().err
    assert err.startswith("error: trainer.sample_images: '000001.png' is not in any test split")
    assert err.count("\n") == 1
    assert list(here.iterdir()) == []


def test_missing_file_name_of_a_user_dataset_is_refused_before_anything_is_recorded(here: Path) -> None:
    check_file_names([faces()], ["absent.png"])  # user datasets may know their files only once they are prepared
    config = compose(["preset=tiny", "trainer.sample_images=[absent.png]"])
    with pytest.raises(ConfigError, match=r"trainer\.sample_images: 'absent\.png' is not in any test split"):
        run(config)
    (folder,) = (here / "outputs" / "runs").iterdir()
    assert not (folder / "config.yaml").exists()
    assert not (here / "outputs" / "mlflow.db").exists()
