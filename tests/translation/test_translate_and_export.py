"""``export``, ``translate`` and ``initial=`` as a person calls them, on runs and on the reference's files."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from stored import golden_state, tiny_config, write_pair, write_run
from torch import Tensor

from stargan_lab.checkpoints.files import digest, read_checkpoint
from stargan_lab.cli.main import main
from stargan_lab.config import run_id, training_identity
from stargan_lab.data.transforms import crop_and_resize, to_float, to_uint8
from stargan_lab.errors import ConfigError
from stargan_lab.evaluation.attribute_classifier import (
    AttributeClassifier,
    ClassifierNetwork,
    classifier_hash,
    load_classifier,
)
from stargan_lab.files import locked
from stargan_lab.runs.build import build_layout, build_sources, build_train_state, find_device
from stargan_lab.runs.load import load_run, open_networks

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _arguments_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stargan-lab"])


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Outputs with a run without and one with an average."""
    outputs = tmp_path_factory.mktemp("lab") / "outputs"
    return outputs, write_run(outputs), write_run(outputs, "ema.decay=0.9", "seed=1", step=7)


@pytest.fixture
def lab(here: Path, written: tuple[Path, str, str]) -> tuple[str, str]:
    """The current folder has these outputs; ids of the plain and of the averaged run."""
    shutil.copytree(written[0], here / "outputs")
    return written[1:]


def draw(path: Path, width: int = 40, height: int = 30, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def pixels_of(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def refused(arguments: list[str], capfd: Capture) -> str:
    """The one line of a refusal, with exit code 2 and nothing done."""
    before = sorted(Path().rglob("*"))
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == "" and len(errors) == 1 and err.splitlines()[-1] == errors[0], err
    assert sorted(Path().rglob("*")) == before
    return errors[0]


# Loading.


def test_a_run_opens_by_id_beginning_folder_and_checkpoint(lab: tuple[str, str]) -> None:
    run, _ = lab
    outputs = Path("outputs")
    names = [run, run[:5], f"outputs/runs/{run}", f"outputs/runs/{run}/checkpoints/last.pt"]
    opened = [load_run(outputs, name) for name in names]
    images, labels = torch.rand(2, 3, 16, 16) * 2 - 1, torch.ones(2, 6)
    first = opened[0].translator()(images, labels, 0)
    assert all(torch.equal(each.translator()(images, labels, 0), first) for each in opened)
    stored = read_checkpoint(Path(names[-1]))
    assert digest(opened[0].generator.state_dict()) == digest(stored.parts["generator"])
    assert opened[0].critic is not None and digest(opened[0].critic.state_dict()) == digest(
        stored.parts["discriminator"]
    )
    assert (opened[0].name, opened[0].step, opened[0].image_size, opened[0].averaged) == (run, 4, 16, False)


def test_the_average_is_taken_where_there_is_one(lab: tuple[str, str]) -> None:
    _, averaged = lab
    stored = read_checkpoint(Path(f"outputs/runs/{averaged}/checkpoints/last.pt"))
    for asked, part in ((None, "average"), (True, "average"), (False, "generator")):
        opened = load_run(Path("outputs"), averaged, asked)
        assert opened.averaged == (part == "average")
        assert digest(opened.generator.state_dict()) == digest(stored.parts[part])


def test_a_run_opens_without_its_data_and_with_an_older_record(lab: tuple[str, str]) -> None:
    run, _ = lab
    shutil.rmtree("outputs/data", ignore_errors=True)
    path = Path(f"outputs/runs/{run}/config.yaml")
    config = yaml.safe_load(path.read_text())
    del config["initial"], config["trainer"]["sample_seed"], config["ema"]
    config["data"]["sources"]["faces"]["attributes"] = ["Male"]  # what labels.json says counts
    path.write_text(yaml.safe_dump(config))
    opened = load_run(Path("outputs"), run)
    assert len(opened.layout.specs[0].names) == 6
    assert opened.config is not None and opened.config.ema.decay == 0


def test_a_run_without_its_list_of_labels_asks_its_data(here: Path) -> None:
    run = write_run(Path("outputs"), layout=False)
    assert load_run(Path("outputs"), run).layout.specs[0].names[-1] == "Oval_Face"


def test_a_checkpoint_that_lost_its_run_opens_by_its_form(lab: tuple[str, str], tmp_path: Path) -> None:
    shutil.copy(f"outputs/runs/{lab[0]}/checkpoints/last.pt", tmp_path / "moved.pt")
    opened = open_networks("moved.pt", Path("outputs"), attributes=list("abcdef"))
    assert (opened.step, opened.image_size, opened.layout.specs[0].names) == (4, 16, tuple("abcdef"))
    assert digest(opened.generator.state_dict()) == digest(load_run(Path("outputs"), lab[0]).generator.state_dict())


# Export.


def test_a_runs_networks_in_the_references_form(lab: tuple[str, str], capfd: Capture) -> None:
    run, _ = lab
    assert main(["export", run[:6]]) == 0
    paths = [Path(f"outputs/exports/{run}/4-{letter}.ckpt") for letter in "GD"]
    assert capfd.readouterr().out.split() == list(map(str, paths))
    opened = load_run(Path("outputs"), run)
    for path, network in zip(paths, (opened.generator, opened.critic), strict=True):
        assert network is not None
        state = torch.load(path, weights_only=True)
        assert list(state) == list(network.state_dict())
        assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
        assert path.stat().st_size < 2 * sum(v.numel() * 4 for v in state.values()) + 60_000, "no foreign storage"


def test_the_references_files_through_a_run_and_out_again(here: Path) -> None:
    """Weights that only pass through come out with the kit's every bit."""
    folder = write_pair(here)
    sizes = ["generator.blocks=2", "discriminator.depth=3", "data.image_size=32"]
    attributes = "data.sources.faces.attributes=[Black_Hair,Blond_Hair,Brown_Hair,Male,Young]"
    files = [f"initial.generator={folder}/200000-G.ckpt", f"initial.discriminator={folder}/200000-D.ckpt"]
    run = write_run(Path("outputs"), *sizes, attributes, *files, step=0)
    stored = read_checkpoint(Path(f"outputs/runs/{run}/checkpoints/last.pt"))
    assert digest(stored.parts["discriminator"]) == digest(golden_state("D"))
    moved = {k: v + 0.01 for k, v in golden_state("G").items() if k.endswith((".weight", ".bias"))}
    assert all(torch.equal(stored.parts["generator"][key], value) for key, value in moved.items())
    shutil.rmtree(folder / "outputs" / "exports", ignore_errors=True)
    assert main(["export", run, "--to", "out"]) == 0
    assert digest(read_checkpoint(Path("out/0-D.ckpt")).parts[""]) == digest(golden_state("D"))


@pytest.mark.slow
def test_onnx_of_a_run_and_of_a_reference_file(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    import onnx

    assert main(["export", lab[1], "--format", "onnx"]) == 0
    assert main(["export", str(write_pair(here) / "200000-G.ckpt"), "--format", "onnx", "--to", "mine.onnx"]) == 0
    out, err = capfd.readouterr()
    assert out.split() == [f"outputs/exports/{lab[1]}/7-G.onnx", "mine.onnx"]
    assert err.count("onnxruntime and torch outputs differ by at most") == 2
    about = {entry.key: entry.value for entry in onnx.load("mine.onnx").metadata_props}
    assert "Blond_Hair" in about["columns_of_label"] and about["image_size"] == "32"


EXPORTS = [
    (["export", "nope"], ["no file and no run 'nope'", "there are 2"]),
    (["export", "RUN", "--ema"], ["--ema", "ema.decay=0"]),
    (["export", "RUN", "--to", "x.ckpt"], ["--to", "pass a directory"]),
    (["export", "RUN", "--format", "onnx", "--to", "x.pt"], ["--to", ".onnx"]),
    (["export", "RUN", "--format", "onx"], ["onx", "onnx"]),
    (["export", "RUN", "--attributes", "a"], ["--attributes", "knows its labels"]),
    (["export", "lone-G.ckpt"], ["has no discriminator"]),
    (["export", "200000-D.ckpt"], ["is a discriminator's", "generator's is wanted"]),
    (["export", "LAYER"], ["the generator has no reference form: it"]),
]


@pytest.mark.parametrize(("arguments", "said"), EXPORTS, ids=lambda value: " ".join(value))
def test_refused_exports(
    arguments: list[str], said: list[str], lab: tuple[str, str], here: Path, capfd: Capture
) -> None:
    write_pair(here)
    torch.save(golden_state("G"), "lone-G.ckpt")
    names = {"RUN": lab[0]}
    if "LAYER" in arguments:
        names["LAYER"] = write_run(Path("outputs"), "generator.norm=layer")
    message = refused([names.get(word, word) for word in arguments], capfd)
    for part in said:
        assert part in message


# Translate.


def test_one_picture_per_target_and_a_sheet(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    picture = draw(here / "me.png")
    own = ["--from", "Black_Hair,Young"]
    assert main(["translate", lab[0][:6], "me.png", "--to", "Blond_Hair,Male+Young=0", *own]) == 0
    out, err = capfd.readouterr()
    folder = Path(f"outputs/translations/{lab[0]}")
    assert out.strip() == f"{folder}/strip.png"
    assert "predicted" not in err
    expected = {"Blond_Hair": [0, 1, 0, 0, 1, 0], "Male+Young=0": [1, 0, 0, 1, 0, 0]}
    assert {p.name for p in folder.iterdir()} == {"strip.png", *(f"me.{name}.png" for name in expected)}
    with Image.open(picture) as image:
        square = torch.from_numpy(crop_and_resize(image.convert("RGB"), None, 16))
    translator = load_run(Path("outputs"), lab[0]).translator()
    for name, labels in expected.items():
        translated = translator(to_float(square[None]), torch.tensor([labels]).float(), 0)
        assert torch.equal(pixels_of(folder / f"me.{name}.png"), to_uint8(translated)[0])


def test_unknown_own_labels_are_zero_and_that_is_said(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    draw(here / "me.png")
    assert main(["translate", lab[0], "me.png", "--to", "Male", "--out", "a"]) == 0
    assert "source labels of faces are unknown and taken as 0" in capfd.readouterr().err
    assert main(["translate", lab[0], "me.png", "--to", "Male", "--out", "b", "--from", ""]) == 0
    assert "not known" not in capfd.readouterr().err
    assert torch.equal(pixels_of(Path("a/me.Male.png")), pixels_of(Path("b/me.Male.png")))


def test_pictures_of_any_size_and_kind(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    """Grey of 8 and 16 bits, with alpha, palette, tall, and one equal stem of another folder."""
    draw(here / "in" / "a.png", 50, 33)
    draw(here / "in" / "deep" / "a.png", 5, 9, seed=1)
    Image.fromarray(np.full((20, 20), 99, np.uint8)).save(here / "in" / "grey.bmp")
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(here / "in" / "clear.png")
    Image.new("P", (20, 30)).save(here / "palette.gif")
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(ramp * 257).save(here / "in" / "deep.png")
    Image.fromarray(ramp.astype(np.uint8)).save(here / "in" / "shallow.PGM")
    (here / "in" / "notes.txt").write_text("no picture")
    arguments = ["in", "in/deep/a.png", "palette.gif", "--to", "Male", "--from", "", "--out", "out"]
    assert main(["translate", lab[0], *arguments]) == 0
    names = {"a", "a-2", "grey", "clear", "palette", "deep", "shallow"}
    assert {p.name for p in Path("out").iterdir()} == {"strip.png", *(f"{name}.Male.png" for name in names)}
    assert all(pixels_of(Path(f"out/{name}.Male.png")).shape == (3, 16, 16) for name in names)
    assert torch.equal(pixels_of(Path("out/deep.Male.png")), pixels_of(Path("out/shallow.Male.png")))
    white = torch.full((1, 3, 16, 16), 1.0)
    labels = torch.tensor([[0.0, 0, 0, 1, 0, 0]])
    translated = load_run(Path("outputs"), lab[0]).translator()(white, labels, 0)
    assert torch.equal(pixels_of(Path("out/clear.Male.png")), to_uint8(translated)[0]), "transparent is white"


def test_exif_orientation_is_heeded(lab: tuple[str, str], here: Path) -> None:
    with Image.open(draw(here / "upright.png", 16, 16)) as image:
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned right by a quarter
        image.transpose(Image.Transpose.ROTATE_90).save(here / "turned.png", exif=exif)
    assert main(["translate", lab[0], "upright.png", "turned.png", "--to", "Male", "--from", "", "--out", "out"]) == 0
    assert torch.equal(pixels_of(Path("out/upright.Male.png")), pixels_of(Path("out/turned.Male.png")))


def test_size_crop_and_aspect(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    draw(here / "a.png", 50, 30)
    common = ["translate", lab[0], "a.png", "--to", "Male", "--from", ""]
    assert main([*common, "--out", "size", "--size", "24"]) == 0
    assert main([*common, "--out", "crop", "--crop", "20"]) == 0
    assert main([*common, "--out", "aspect", "--keep-aspect"]) == 0
    shapes = {name: tuple(pixels_of(Path(f"{name}/a.Male.png")).shape) for name in ("size", "crop", "aspect")}
    assert shapes == {"size": (3, 24, 24), "crop": (3, 16, 16), "aspect": (3, 16, 28)}
    assert "both sides to multiples of 4 px" in capfd.readouterr().err


def write_attribute_classifier(run: str, images: Tensor) -> AttributeClassifier:
    """Cache an attribute classifier with random weights that tells two ``images``, (2, 3, 16, 16), apart."""
    opened = load_run(Path("outputs"), run)
    assert opened.config is not None
    path = Path("outputs/cache/classifiers") / f"{classifier_hash(build_sources(opened.config)[0], 16)}.pt"
    path.parent.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ClassifierNetwork(6, 16).eval()
        with torch.no_grad():
            network.head.bias -= network(to_float(images)).mean(0)
    torch.save({"state": network.state_dict(), "accuracy": [1.0] * 6}, path)
    return load_classifier(path, opened.layout.specs[0], 16, torch.device("cpu"))


def test_the_attribute_classifier_sees_the_square_that_the_generator_sees(
    lab: tuple[str, str], here: Path, capfd: Capture
) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (60, 60, 3), np.uint8)
    pixels[22:38, 22:38] = [255, 0, 40]
    Image.fromarray(pixels).save("me.png")
    squares = torch.stack([torch.from_numpy(crop_and_resize(Image.fromarray(pixels), crop, 16)) for crop in (16, None)])
    spec = load_run(Path("outputs"), lab[0]).layout.specs[0]
    attribute_classifier = write_attribute_classifier(lab[0], squares)
    small, large = (attribute_classifier.predict_exclusive(square[None], spec) for square in squares)
    assert not torch.equal(small, large)

    def said(*arguments: str) -> str:
        capfd.readouterr()
        assert main(["translate", lab[0], "me.png", "--to", "Male", "--out", "o", *arguments]) == 0
        (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("me.png: predicted ")]
        return line.removeprefix("me.png: predicted ").removesuffix(" (faces's attribute classifier)")

    def names(labels: Tensor) -> str:
        return ", ".join(n for n, v in zip(spec.names, labels[0], strict=True) if v) or "none of the labels"

    assert said("--crop", "16") == said("--crop", "16", "--size", "24") == names(small)
    assert said() == said("--keep-aspect") == names(large)


def test_the_crop_of_training_is_mentioned(here: Path, capfd: Capture) -> None:
    run = write_run(Path("outputs"), "data.sources.faces.crop=20")
    draw(here / "me.png")
    common = ["translate", run, "me.png", "--to", "Male", "--from", "", "--out", "o"]
    assert main(common) == 0
    assert (
        "using the largest center square; faces was trained with crop=20, which is --crop 20" in capfd.readouterr().err
    )
    for added in (["--crop", "20"], ["--keep-aspect"]):
        assert main([*common, *added]) == 0
        assert "was trained with crop" not in capfd.readouterr().err


@pytest.mark.parametrize("asked", ["cuda:2", "cuda:10"])
def test_a_gpu_that_is_not_there(
    asked: str, lab: tuple[str, str], here: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(here / "me.png")
    command = ["translate", lab[0], "me.png", "--to", "Male", "--device", asked]
    there = ", cuda, cuda:0, cuda:1"
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 2)
        for key, message in (
            ("--device", refused(command, capfd)),
            ("trainer.device", refused([*TRAIN, f"trainer.device={asked}"], capfd)),
        ):
            assert f"{key}: {asked} is not available here; allowed: auto, cpu{there}" in message
        assert find_device("--device", "cuda:1") == torch.device("cuda:1")
        assert find_device("--device", "auto") == torch.device("cuda")
        patch.setattr(torch.cuda, "is_available", lambda: False)
        for each in ("cuda", "cuda:0"):
            with pytest.raises(ConfigError, match=r"allowed: auto, cpu$"):
                find_device("--device", each)


def test_unreadable_pictures_are_named_and_the_others_done(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    draw(here / "in" / "good.png")
    whole = draw(here / "in" / "half.png", 90, 90).read_bytes()
    (here / "in" / "half.png").write_bytes(whole[:999])
    (here / "in" / "text.jpg").write_text("hello")
    assert main(["translate", lab[0], "in", "--to", "Male", "--from", "", "--out", "out"]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines if line.startswith("left out")] == [
        "in/half.png",
        "in/text.jpg",
    ]
    assert {p.name for p in Path("out").iterdir()} == {"good.Male.png", "strip.png"}


def test_a_reference_file_with_the_references_labels(here: Path, capfd: Capture) -> None:
    write_pair(here)
    draw(here / "me.png")
    assert (
        main(["translate", "200000-G.ckpt", "me.png", "--to", "Blond_Hair", "--from", "Black_Hair", "--out", "o"]) == 0
    )
    err = capfd.readouterr().err
    assert "taken to be the reference's: Black_Hair, Blond_Hair, Brown_Hair, Male, Young" in err
    assert pixels_of(Path("o/me.Blond_Hair.png")).shape == (3, 32, 32), "the size is in the discriminator's file"
    Path("200000-D.ckpt").unlink()
    assert main(["translate", "200000-G.ckpt", "me.png", "--to", "b", "--attributes", "a,b,c,d,e", "--out", "p"]) == 0
    assert "taken to be 128 px" in capfd.readouterr().err
    assert pixels_of(Path("p/me.b.png")).shape == (3, 128, 128)


def test_a_reference_file_of_two_datasets(here: Path) -> None:
    write_pair(here, "multi")
    draw(here / "me.png")
    names = ["--attributes", "Black_Hair,Male,Young", "--classes", "angry,happy,sad,calm"]
    assert main(["translate", "200000-G.ckpt", "me.png", "--to", "Male,happy,rafd.sad", *names, "--out", "o"]) == 0
    assert {p.name for p in Path("o").iterdir()} == {
        "me.Male.png",
        "me.happy.png",
        "me.rafd.sad.png",
        "strip.png",
    }
    translator = open_networks("200000-G.ckpt", Path("outputs"), None, list("abc"), list("wxyz")).translator()
    with Image.open("me.png") as image:
        square = torch.from_numpy(crop_and_resize(image.convert("RGB"), None, 32))
    full = torch.tensor([[0.0, 0, 0, 0, 1, 0, 0, 0, 1]])
    with torch.no_grad():
        expected = to_uint8(translator.generator(to_float(square[None]), full))[0]
    assert torch.equal(pixels_of(Path("o/me.happy.png")), expected)


TRANSLATIONS = [
    (["RUN", "me.png", "--to", "Blond"], ["--to", "'Blond'", "'Blond_Hair'"]),
    (["RUN", "me.png", "--to", "Male", "--from", "Mal"], ["--from", "'Mal'", "'Male'"]),
    (["RUN", "me.png", "--to", "Black_Hair+Blond_Hair"], ["exclude each other"]),
    (["RUN", "you.png", "--to", "Male"], ["you.png", "no such picture"]),
    (["RUN", "empty", "--to", "Male"], ["empty: no picture in it"]),
    (["RUN", "me.png", "--to", "Male", "--size", "18"], ["--size", "18", "multiple of 4"]),
    (["RUN", "me.png", "--to", "Male", "--size", "4"], ["--size", "4 px", "1x1"]),
    (["RUN", "me.png", "--to", "Male", "--size", "0"], ["--size"]),
    (["RUN", "me.png", "--to", "Male", "--crop", "0"], ["--crop"]),
    (["RUN", "me.png", "--to", "Male", "--crop", "9", "--keep-aspect"], ["--crop", "--keep-aspect"]),
    (["RUN", "me.png", "--to", "Male", "--out", "me.png"], ["--out", "not a directory"]),
    (["RUN", "me.png", "--to", "Male", "--device", "gpu"], ["--device", "gpu"]),
    (["RUN", "me.png"], ["--to"]),
    (["RUN", "--to", "Male"], ["IMAGE"]),
    (["nope", "me.png", "--to", "Male"], ["'nope'"]),
    (["200000-D.ckpt", "me.png", "--to", "Male"], ["is a discriminator's"]),
    (["200000-G.ckpt", "me.png", "--to", "Male", "--attributes", "Male,Young"], ["2 names", "5 wide"]),
    (["me.png", "me.png", "--to", "Male"], ["me.png", "not a file of weights"]),
    (["whole-G.ckpt", "me.png", "--to", "Male"], ["whole-G.ckpt: it holds int64", "expected floating-point weights"]),
]


@pytest.mark.parametrize(("arguments", "said"), TRANSLATIONS, ids=lambda value: " ".join(value))
def test_refused_translations(
    arguments: list[str], said: list[str], lab: tuple[str, str], here: Path, capfd: Capture
) -> None:
    write_pair(here)
    torch.save({key: value.long() for key, value in golden_state("G").items()}, "whole-G.ckpt")
    draw(here / "me.png")
    (here / "empty").mkdir()
    message = refused(["translate", *(lab[0] if word == "RUN" else word for word in arguments)], capfd)
    for part in said:
        assert part in message


# A start from stored weights.


def test_the_run_id_follows_the_content_of_the_weights(here: Path) -> None:
    """Neither the path nor the file they are in; and without any it is what it was before there was such a key."""
    write_pair(here / "a")
    write_pair(here / "b", step=3)
    sizes = ["generator.blocks=2", "discriminator.depth=3", "data.image_size=32", "trainer.threads=1"]

    def identity(*overrides: str) -> str:
        return run_id(tiny_config(Path("outputs"), *sizes, *overrides), ["data"])

    plain = training_identity(tiny_config(Path("outputs"), *sizes), ["data"])
    assert "initial" not in plain
    started = identity("initial.generator=a/200000-G.ckpt")
    assert started == identity("initial.generator=b/3-G.ckpt") != identity()
    assert started != identity("initial.discriminator=a/200000-D.ckpt") != identity()
    torch.save({**golden_state("G"), "main.1.bias": torch.ones(4)}, "b/3-G.ckpt")
    assert started != identity("initial.generator=b/3-G.ckpt") != identity()
    for free in ("trainer.sample_seed=3", "trainer.sample_images=[a.png,b.png]", "trainer.sample_images=3"):
        assert identity(free) == identity()


TRAIN = ["train", "preset=tiny", "tracking.enabled=false", "trainer.device=cpu"]
STARTS = [
    (["initial.generator=nope"], ["initial.generator", "no file and no run 'nope'"]),
    (["initial.generator=200000-G.ckpt"], ["initial.generator", "generator.blocks=2 (here 1)", "width 5", "6 wide"]),
    (["initial.generator=200000-D.ckpt"], ["did you mean initial.discriminator?"]),
    (["initial.discriminator=200000-D.ckpt"], ["discriminator.depth=3 data.image_size=32 (here 2, 16)"]),
    (["initial.discriminatr=x"], ["initial.discriminatr", "'initial.discriminator'"]),
    (["initial.generator=3"], ["initial.generator", "3"]),
    (["-m", "initial.generator=RUN,200000-D.ckpt"], ["did you mean initial.discriminator?"]),
]


@pytest.mark.parametrize(("overrides", "said"), STARTS, ids=lambda value: " ".join(value))
def test_refused_starts(
    overrides: list[str], said: list[str], lab: tuple[str, str], here: Path, capfd: Capture
) -> None:
    write_pair(here)
    message = refused([*TRAIN, *(word.replace("RUN", lab[0]) for word in overrides)], capfd)
    for part in said:
        assert part in message


def test_a_start_from_an_unfinished_run_is_refused(here: Path, capfd: Capture) -> None:
    run = write_run(Path("outputs"), status="interrupted")
    folder = Path(f"outputs/runs/{run}")
    last = folder / "checkpoints" / "last.pt"
    for name in (run, run[:6], str(folder), str(last), str(last.absolute())):
        message = refused([*TRAIN, "seed=3", f"initial.generator={name}"], capfd)
        assert f"initial.generator: run {run} is not finished (interrupted); finish it by" in message
        assert "name a copy of" in message
    shutil.copy(last, "copy.pt")
    config = tiny_config(Path("outputs"), "initial.generator=copy.pt")
    assert training_identity(config, ["data"])["initial"] == {
        "generator": digest(read_checkpoint(last).state("generator"))
    }
    with locked(folder / ".lock"):
        message = refused([*TRAIN, "seed=3", f"initial.discriminator={run}"], capfd)
    assert f"initial.discriminator: run {run} is still being trained; start from it once it is finished" in message
    assert load_run(Path("outputs"), run).name == run, "to look at, it opens"


def test_weights_that_change_between_the_id_and_the_start_are_refused(here: Path) -> None:
    config = tiny_config(Path("outputs"), f"initial.generator={write_run(Path('outputs'))}", "seed=3")
    (last,) = Path("outputs/runs").glob("*/checkpoints/last.pt")
    layout = build_layout(build_sources(config))
    run_id(config, ["data"])
    build_train_state(config, layout)
    saved = torch.load(last, weights_only=True)
    next(iter(saved["generator"].values())).add_(1)
    torch.save(saved, last)
    with pytest.raises(ConfigError, match=r"^initial\.generator: .*last\.pt: its weights have changed since"):
        build_train_state(config, layout)
    run_id(config, ["data"])
    build_train_state(config, layout)


@pytest.mark.slow
def test_training_from_stored_weights_and_a_translation_by_its_attribute_classifier(
    lab: tuple[str, str], here: Path, capfd: Capture
) -> None:
    run, averaged = lab
    known = {p.name for p in Path("outputs/runs").iterdir()}
    assert main([*TRAIN, f"initial.generator={averaged}", f"initial.discriminator={run}", "total_steps=2"]) == 0
    (trained,) = {p.name for p in Path("outputs/runs").iterdir()} - known
    assert main(["export", averaged, "--no-ema", "--to", "out"]) == 0
    assert main(["export", run, "--to", "out"]) == 0
    capfd.readouterr()
    files = ["initial.generator=out/7-G.ckpt", "initial.discriminator=out/4-D.ckpt"]
    assert main([*TRAIN, *files, "total_steps=2"]) == 0
    assert f"run {trained} is finished already" in capfd.readouterr().err, "the same weights in other files"

    picture = next(Path("outputs/data").rglob("*.png"))
    assert main(["translate", trained, str(picture), "--to", "Male"]) == 0
    err = capfd.readouterr().err
    assert f"{picture}: predicted " in err and "(faces's attribute classifier)" in err
    shutil.rmtree("outputs/data")
    shutil.copy(Path(f"outputs/translations/{trained}") / f"{picture.stem}.Male.png", "me.png")
    assert main(["translate", trained, "me.png", "--to", "Male"]) == 0
    assert "(faces's attribute classifier)" in capfd.readouterr().err, "for which the data need not be there"
    assert not Path("outputs/data").exists()
