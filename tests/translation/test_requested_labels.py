"""The labels of ``--to`` and ``--from``."""

import pytest
import torch
from tiny import FACES, MOODS

from stargan_lab.checkpoints.label_layout import CELEBA, RAFD, read_layout, reference_layout, write_layout
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.labels import LabelLayout, LabelSpec, target_labels
from stargan_lab.translation.requested_labels import parse_source_labels, parse_targets

SPEC = LabelSpec("faces", ("Black_Hair", "Blond_Hair", "Male", "Young"), groups=(("Black_Hair", "Blond_Hair"),))
ONE = LabelLayout((SPEC,))
OTHER = LabelSpec("others", ("Young", "Hat"))
THREE = LabelLayout((SPEC, MOODS, OTHER))
LABELS = torch.tensor([[1.0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Blond_Hair", [[0, 1, 0, 1]]),
        ("Black_Hair=0", [[0, 0, 0, 1]]),
        ("Young", [[1, 0, 0, 1]]),  # set, not flipped
        ("Male + Blond_Hair + Young=0 , Male", [[0, 1, 1, 0], [1, 0, 1, 1]]),
        ("Black_Hair=0+Blond_Hair", [[0, 1, 0, 1]]),
        ("Male,Male=1, faces.Male", [[1, 0, 1, 1]]),
        ("Male+Young=0,Young=0+Male", [[1, 0, 1, 0]]),
    ],
)
def test_targets(text: str, expected: list[list[float]]) -> None:
    labels = LABELS.clone()
    targets = [target.labels(labels, SPEC) for target in parse_targets(text, ONE)]
    assert torch.cat(targets).tolist() == expected
    assert torch.equal(labels, LABELS)


def test_exclusive_labels_are_set_as_in_sampling() -> None:
    for index, name in enumerate(SPEC.names[:2]):
        (target,) = parse_targets(name, ONE)
        for labels in torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)[:, None]:
            assert torch.equal(target.labels(labels, SPEC), target_labels(labels, SPEC, index))


def test_targets_of_several_datasets() -> None:
    male, happy, hat, young = parse_targets("Male,sad,Hat,others.Young", THREE)
    assert [t.source for t in (male, happy, hat, young)] == [0, 1, 2, 2]
    assert happy.labels(torch.tensor([[1.0, 0.0]]), MOODS).tolist() == [[0, 1]]
    assert young.labels(torch.zeros(1, 2), OTHER).tolist() == [[1, 0]]
    assert young.name == "others.Young"


def test_names_and_titles() -> None:
    (target,) = parse_targets("Blond_Hair+Male=1+Young=0", ONE)
    assert target.name == "Blond_Hair+Male+Young=0"
    assert target.title == "Blond_Hair + Male + no Young"


AGES = LabelLayout((LabelSpec("ages", ("60+", "60", "18,19", "a=0", "a", "old + grey", "20-60")),))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("60,60+", [["60"], ["60+"]]),
        ("ages.60+ + 60=0", [["60+", "60=0"]]),
        ("60+=0,18,19", [["60+=0"], ["18,19"]]),
        ("a=0=0,a=1,a=0+a", [["a=0=0"], ["a"], ["a=0", "a"]]),
        ("old + grey+a", [["old + grey", "a"]]),
    ],
)
def test_label_names_that_contain_separators(text: str, names: list[list[str]]) -> None:
    (spec,) = AGES.specs
    for target, expected in zip(parse_targets(text, AGES), names, strict=True):
        assert [spec.names[index] + ("" if value else "=0") for index, value in target.changes] == expected
        assert target.name.replace("ages.", "") == "+".join(expected)


def test_source_labels_and_titles_that_contain_separators() -> None:
    (labels,) = parse_source_labels("60+, 18,19,a=0", AGES)
    assert labels.tolist() == [[1, 0, 1, 1, 0, 0, 0]]
    (target,) = parse_targets("60++a=0=0+60=0", AGES)
    assert target.title == "60+ + no a=0 + no 60"


@pytest.mark.parametrize("text", ["61+", "18,"])
def test_suggestion_differs_from_the_input(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_targets(text, AGES)
    assert f"did you mean {text!r}" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Blond", "unknown label 'Blond'; did you mean 'Blond_Hair'"),
        ("", "unknown label ''"),
        ("Male=2", "expected Male, or Male=0 to remove it"),
        ("Black_Hair+Blond_Hair", "Black_Hair and Blond_Hair are mutually exclusive"),
        ("Male+Male=0", "duplicate label"),
        ("happy=0", "exactly one class"),
        ("Male+happy", "cannot combine labels of faces and moods"),
        ("Young", "write faces.Young or others.Young"),
    ],
)
def test_refused_targets(text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_targets(text, THREE)
    assert str(caught.value).startswith("--to: ") and part in str(caught.value) and "\n" not in str(caught.value)


def test_source_labels() -> None:
    assert [labels.tolist() for labels in parse_source_labels("Black_Hair, faces.Young,Hat", THREE)] == [
        [[1, 0, 0, 1]],
        [[0, 0]],
        [[0, 1]],
    ]
    assert [labels.sum().item() for labels in parse_source_labels("", THREE)] == [0, 0, 0]
    with pytest.raises(ConfigError, match=r"--from: Black_Hair,Blond_Hair: .* are mutually exclusive"):
        parse_source_labels("Black_Hair,Blond_Hair", THREE)
    with pytest.raises(ConfigError, match="--from: unknown label 'Mal'; did you mean 'Male'"):
        parse_source_labels("Mal", THREE)


def test_layout_round_trip(tmp_path) -> None:
    layout = LabelLayout((FACES, MOODS))
    write_layout(tmp_path, layout)
    assert read_layout(tmp_path / "labels.json") == layout
    (tmp_path / "labels.json").write_text('[{"dataset": "x"}]')
    with pytest.raises(LabError, match=r"labels\.json: expected a list of datasets"):
        read_layout(tmp_path / "labels.json")


@pytest.mark.parametrize(("width", "datasets"), [(5, [CELEBA]), (8, [RAFD]), (15, [CELEBA, RAFD])])
def test_default_labels_of_reference_generators(width: int, datasets: list[tuple[str, ...]]) -> None:
    layout = reference_layout(width)
    assert [spec.names for spec in layout.specs] == datasets
    assert layout.generator_width == width
    hair = [group for spec in layout.specs for group in spec.groups]
    assert hair == ([("Black_Hair", "Blond_Hair", "Brown_Hair")] if CELEBA in datasets else [])
    assert all((spec.kind == "categorical") == (spec.names == RAFD) for spec in layout.specs)


@pytest.mark.parametrize(
    ("width", "attributes", "classes", "part"),
    [
        (6, "", "", "does not name the generator's 6 labels"),
        (5, "a b c", "", "got 3 names, but the label vector has length 5"),
        (5, "a b", "c", "got 3 names and a mask of 2, but"),
        (5, "a b b c d", "", "duplicate names"),
    ],
)
def test_label_names_that_do_not_match_the_generator(width: int, attributes: str, classes: str, part: str) -> None:
    if (attributes, classes) == ("a b", "c"):
        assert reference_layout(width, ["a", "b"], ["c"]).generator_width == 5
        width = 6
    with pytest.raises(ConfigError, match="--attributes") as caught:
        reference_layout(width, attributes.split(), classes.split())
    assert part in str(caught.value)
