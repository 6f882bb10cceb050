"""Receptive fields and label sensitivity of networks with known answers, and the command."""

import json
from pathlib import Path

import pytest
import torch
from tiny import make_critic, make_generator
from torch import Tensor, nn

from stargan_lab import compose
from stargan_lab.cli.main import main
from stargan_lab.inspection.faces import faces
from stargan_lab.inspection.label_sensitivity import label_sensitivity, mean_by_distance
from stargan_lab.inspection.receptive_field import measure_field, square_with
from stargan_lab.inspection.run import _names
from stargan_lab.labels import LabelLayout
from stargan_lab.runs.loaded_model import LoadedModel


def identity(labels: Tensor) -> Tensor:
    return labels


class OneConvolution(nn.Module):
    """A score per pixel from a convolution with constant weights."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, kernel, padding=kernel // 2)
        nn.init.constant_(self.conv.weight, 1.0)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.conv(images), images.flatten(1)


class Convolutions(nn.Module):
    """Scores from convolutions of (kernel, stride, padding) with constant weights."""

    def __init__(self, *layers: tuple[int, int, int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Conv2d(3 if i == 0 else 1, 1, *layer) for i, layer in enumerate(layers)))
        for parameter in self.parameters():
            nn.init.constant_(parameter, 1.0)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.layers(images), images.flatten(1)


def test_all_pixels_of_a_constant_kernel_have_equal_gradients() -> None:
    field = measure_field(OneConvolution(5), faces(2, 16))
    assert (field.theoretical, field.effective, field.scores) == (5, 5.0, 16)
    assert field.square == (6.0, 11.0) and field.center == 8.5  # the score at pixel 8
    assert torch.equal(field.gradient.nonzero().unique(), torch.arange(6, 11))
    assert (field.gradient[6:11, 6:11] - 1).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("layers", "size", "theoretical", "center"),
    [
        (((7, 4, 0),), 33, 7, 15.5),  # 7 scores; score 3 reads pixels 12 to 18
        (((7, 4, 3),), 33, 7, 16.5),  # 9 scores; score 4 reads pixels 13 to 19
        (((4, 2, 1), (4, 2, 1)), 32, 10, 18.0),  # 8 scores; score 4 reads 7 to 10 of the first map
        (((3, 2, 0), (3, 1, 2)), 31, 7, 15.5),  # 17 scores; score 8 reads 6 to 8 of the first map, pixels 12 to 18
        (((5, 3, 2), (2, 2, 0)), 40, 8, 20.0),  # 7 scores; score 3 reads 6 to 7 of the first map, pixels 16 to 23
    ],
)
def test_the_effective_field_lies_within_the_theoretical_one(
    layers: tuple[tuple[int, int, int], ...], size: int, theoretical: int, center: float
) -> None:
    field = measure_field(Convolutions(*layers), faces(2, size))
    assert (field.theoretical, field.center) == (theoretical, center)
    assert 0 < field.effective <= theoretical
    low, high = round(center - theoretical / 2), round(center + theoretical / 2)
    assert field.gradient[low:high, low:high].sum() == pytest.approx(float(field.gradient.sum()))
    assert field.gradient[low, low] > 0 and field.gradient[high - 1, high - 1] > 0


def test_the_square_holds_the_share_and_is_cut_off_at_the_border() -> None:
    power = torch.zeros(8, 8)
    power[4, 4], power[4, 6] = 0.9, 0.1
    assert square_with(power, 4.5, 0.9) == (4.0, 5.0)
    assert square_with(power, 4.5, 0.95) == (2.0, 7.0)
    corner = torch.zeros(8, 8)
    corner[0, 0] = 1.0
    assert square_with(corner, 6.5, 0.9) == (0.0, 8.0)


@pytest.mark.parametrize(("depth", "pixels"), [(1, 8), (2, 18), (3, 38)])
def test_fields_of_a_patchgan(depth: int, pixels: int) -> None:
    critic = make_critic(3, size=64, depth=depth, width=8)
    field = measure_field(critic, faces(4, 64))
    assert field.theoretical == pixels and field.scores == 64 // 2**depth
    assert pixels / 2 < field.effective <= pixels
    outside = field.gradient.clone()
    low, high = round(field.center - pixels / 2), round(field.center + pixels / 2)
    outside[low:high, low:high] = 0
    assert not outside.any() and field.gradient.max() == 1
    assert all(parameter.grad is None for parameter in critic.parameters())


def test_sensitivity_by_distance() -> None:
    values = torch.zeros(5, 5)
    values[0, 0], values[2, 2] = 16.0, 3.0
    assert mean_by_distance(values) == [1.0, 0.0, 3.0]


def sensitivity(**options: object):  # type: ignore[no-untyped-def]
    generator = make_generator(3, width=8, **options)
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    return label_sensitivity(generator, faces(2, 32), labels, identity)


def test_concatenated_labels_enter_at_the_border_under_instance_norm() -> None:
    measured = sensitivity(padding="zero")
    first = mean_by_distance(measured.first)
    assert min(first[:2]) > 3 * max(first[3:])  # the kernel of 7 reaches 3 px into the zeros
    assert measured.output.min() > 1e-4


@pytest.mark.parametrize("padding", ["reflect", "replicate"])
def test_concatenated_labels_have_no_effect_without_zero_padding(padding: str) -> None:
    measured = sensitivity(padding=padding)
    assert measured.first.max() < 1e-12 and measured.output.max() < 1e-12


@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_conditional_norm_carries_the_label_everywhere(padding: str) -> None:
    first = mean_by_distance(sensitivity(padding=padding, conditioning="adain").first)
    assert min(first) > 0.3 * max(first)


def test_commands_write_figures_and_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "receptive_field", "preset=tiny"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("depth 1: 8 px in theory, ")
    assert len(out.splitlines()) == 4  # a 16 px image has four halvings
    assert main(["inspect", "receptive_field", "preset=tiny", "discriminator.depth=2"]) == 0
    assert capsys.readouterr().out.startswith("depth 2: 18 px in theory, ")
    assert main(["inspect", "label_sensitivity", "preset=tiny"]) == 0
    assert "warning" not in capsys.readouterr().err  # reflect padding is the command's own choice
    drawn = (tmp_path / "outputs" / "inspect" / "label_sensitivity.svg").read_text()
    assert "concat, reflect padding: at most " in drawn and "concat, zero padding: at most" not in drawn
    folder = tmp_path / "outputs" / "inspect"
    names = {f"{name}.{form}" for name in ("receptive_field", "label_sensitivity") for form in ("svg", "pdf", "json")}
    assert {path.name for path in folder.iterdir()} == names
    record = json.loads((folder / "label_sensitivity.json").read_text())
    assert max(record["concat, reflect padding"]["output_by_distance"]) < 1e-12
    assert min(record["concat, zero padding"]["output_by_distance"]) > 1e-6
    assert not (tmp_path / "outputs" / "data").exists()  # faces are rendered in memory


def test_trained_generators_are_named_by_what_differs() -> None:
    def model(name: str, *overrides: str) -> LoadedModel:
        config = compose(["preset=tiny", *overrides])
        return LoadedModel(name, Path(), nn.Module(), None, LabelLayout(()), 16, config=config)

    zero, seed = model("96d0230000"), model("0000230000", "seed=1", "evaluation.batch_size=3")
    reflect = model("05a8150000", "generator.padding=reflect", "generator.conditioning=adain")
    assert _names([zero, reflect]) == [
        "conditioning=concat padding=zero (96d023)",
        "conditioning=adain padding=reflect (05a815)",
    ]
    assert _names([zero, seed]) == ["seed=0 (96d023)", "seed=1 (000023)"]
    assert _names([zero]) == ["96d0230000"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["receptive_feld"], "unknown choice 'receptive_feld'; did you mean 'receptive_field'?"),
        ([], "the following arguments are required: WHAT (see"),
        (["receptive_field", "abc"], "abc"),
        (["receptive_field", "abc", "seed=1"], "seed=1: overrides describe untrained networks"),
        (["receptive_field", "discriminator.nrm=layer"], "did you mean 'discriminator.norm'?"),
        (["label_sensitivity", "generator.widht=3"], "did you mean 'generator.width'?"),
    ],
)
def test_invalid_commands_are_refused(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", *words]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not list(tmp_path.rglob("*.svg"))
