"""``translate``: a user's images through the generators of runs and of reference files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused
from stored import golden_state, write_pair, write_run
from torch import Tensor

from stargan_lab.cli.main import main
from stargan_lab.data.transforms import to_float, to_uint8
from stargan_lab.errors import ConfigError
from stargan_lab.evaluation.attribute_classifier import (
    AttributeClassifier,
    ClassifierNetwork,
    classifier_hash,
    load_classifier,
)
from stargan_lab.runs.build import build_sources, find_device
from stargan_lab.runs.load import load_model
from stargan_lab.tracking.run_folder import find_run
from stargan_lab.translation.translate import Frame

Capture = pytest.CaptureFixture[str]
OUTPUTS = Path("outputs")


def write_image(path: Path, width: int = 40, height: int = 30, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def pixels_of(path: str) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def square_of(path: Path, size: int, crop: int | None = None) -> Tensor:
    with Image.open(path) as image:
        return Frame(size, crop=crop).to_input(image.convert("RGB"))[None]


def test_writes_one_image_per_target_and_a_sheet(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    image = write_image(here / "me.png")
    source_labels = ["--from", "Black_Hair,Young"]
    assert main(["translate", lab[0][:6], "me.png", "--to", "Blond_Hair,Male+Young=0", *source_labels]) == 0
    folder = OUTPUTS / "translations" / lab[0]
    assert capfd.readouterr().out.strip() == f"{folder}/strip.png"
    expected = {"Blond_Hair": [0, 1, 0, 0, 1, 0], "Male+Young=0": [1, 0, 0, 1, 0, 0]}
    assert {p.name for p in folder.iterdir()} == {"strip.png", *(f"me.{name}.png" for name in expected)}
    translator = load_model(lab[0], OUTPUTS).translator()
    for name, labels in expected.items():
        translated = translator(to_float(square_of(image, 16)), torch.tensor([labels]).float(), 0)
        assert torch.equal(pixels_of(f"{folder}/me.{name}.png"), to_uint8(translated)[0])


def test_unknown_source_labels_are_zero_with_a_note(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    write_image(here / "me.png")
    assert main(["translate", lab[0], "me.png", "--to", "Male", "--out", "a"]) == 0
    assert "--from" in capfd.readouterr().err
    assert main(["translate", lab[0], "me.png", "--to", "Male", "--out", "b", "--from", ""]) == 0
    assert "--from" not in capfd.readouterr().err
    assert torch.equal(pixels_of("a/me.Male.png"), pixels_of("b/me.Male.png"))


def test_image_modes_and_repeated_stems(lab: tuple[str, str], here: Path) -> None:
    write_image(here / "in" / "a.png", 50, 33)
    write_image(here / "in" / "deep" / "a.png", 5, 9, seed=1)
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(here / "in" / "clear.png")
    Image.new("P", (20, 30)).save(here / "palette.gif")
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(ramp * 257).save(here / "in" / "grey16.png")
    Image.fromarray(ramp.astype(np.uint8)).save(here / "in" / "grey8.PGM")
    (here / "in" / "notes.txt").write_text("not an image")
    arguments = ["in", "in/deep/a.png", "palette.gif", "--to", "Male", "--from", "", "--out", "out"]
    assert main(["translate", lab[0], *arguments]) == 0
    names = {"a", "a-2", "clear", "palette", "grey16", "grey8"}
    assert {p.name for p in Path("out").iterdir()} == {"strip.png", *(f"{name}.Male.png" for name in names)}
    assert all(pixels_of(f"out/{name}.Male.png").shape == (3, 16, 16) for name in names)
    assert torch.equal(pixels_of("out/grey16.Male.png"), pixels_of("out/grey8.Male.png"))
    labels = torch.tensor([[0.0, 0, 0, 1, 0, 0]])
    translated = load_model(lab[0], OUTPUTS).translator()(torch.ones(1, 3, 16, 16), labels, 0)
    assert torch.equal(pixels_of("out/clear.Male.png"), to_uint8(translated)[0]), "transparent is white"


def test_exif_orientation_is_applied(lab: tuple[str, str], here: Path) -> None:
    with Image.open(write_image(here / "upright.png", 16, 16)) as image:
        exif = Image.Exif()
        exif[0x0112] = 6  # rotate by 90 degrees clockwise
        image.transpose(Image.Transpose.ROTATE_90).save(here / "rotated.png", exif=exif)
    assert main(["translate", lab[0], "upright.png", "rotated.png", "--to", "Male", "--from", "", "--out", "out"]) == 0
    assert torch.equal(pixels_of("out/upright.Male.png"), pixels_of("out/rotated.Male.png"))


def test_size_crop_and_aspect(lab: tuple[str, str], here: Path) -> None:
    write_image(here / "a.png", 50, 30)
    for name, flags, shape in (
        ("size", ["--size", "24"], (3, 24, 24)),
        ("crop", ["--crop", "20"], (3, 16, 16)),
        ("aspect", ["--keep-aspect"], (3, 16, 28)),
    ):
        assert main(["translate", lab[0], "a.png", "--to", "Male", "--from", "", "--out", name, *flags]) == 0
        assert tuple(pixels_of(f"{name}/a.Male.png").shape) == shape


def cache_classifier(run: str, images: Tensor) -> AttributeClassifier:
    """Cache an attribute classifier with random weights that separates two ``images``, (2, 3, 16, 16)."""
    model = load_model(run, OUTPUTS)
    assert model.config is not None
    path = OUTPUTS / "cache" / "classifiers" / f"{classifier_hash(build_sources(model.config)[0], 16)}.pt"
    path.parent.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ClassifierNetwork(6, 16).eval()
        with torch.no_grad():
            network.head.bias -= network(to_float(images)).mean(0)
    torch.save({"state": network.state_dict(), "accuracy": [1.0] * 6}, path)
    return load_classifier(path, model.layout.specs[0], 16, torch.device("cpu"))


def test_source_labels_are_predicted_without_the_dataset(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    pixels = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    classifier = cache_classifier(lab[0], pixels)
    folder = find_run(OUTPUTS, lab[0])
    instruments = {"attribute_classifier": {"sha256": {"faces": classifier.sha256[:16]}}}
    folder.write_result({"status": "finished", "metrics": {}, "protocol": {"instruments": instruments}})
    (cached,) = (OUTPUTS / "cache" / "classifiers").glob("*.pt")
    cached.rename(cached.with_name("renamed.pt"))  # found by its content, not by the hash of a dataset
    write_image(here / "a.png", 16, 16)
    assert main(["translate", lab[0], "a.png", "--to", "Male", "--out", "o"]) == 0
    assert "a.png: predicted " in capfd.readouterr().err


def test_classifier_and_generator_get_the_same_square(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (60, 60, 3), np.uint8)
    pixels[22:38, 22:38] = [255, 0, 40]
    Image.fromarray(pixels).save("me.png")
    squares = [square_of(Path("me.png"), 16, crop) for crop in (16, None)]
    spec = load_model(lab[0], OUTPUTS).layout.specs[0]
    classifier = cache_classifier(lab[0], torch.cat(squares))
    small, large = (classifier.predict_exclusive(square, spec) for square in squares)
    assert not torch.equal(small, large)

    def predicted(*flags: str) -> str:
        capfd.readouterr()
        assert main(["translate", lab[0], "me.png", "--to", "Male", "--out", "o", *flags]) == 0
        (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("me.png: predicted ")]
        return line.removeprefix("me.png: predicted ").removesuffix(" (attribute classifier: faces)")

    def names(labels: Tensor) -> str:
        return ", ".join(name for name, value in zip(spec.names, labels[0], strict=True) if value) or "no label"

    assert predicted("--crop", "16") == predicted("--crop", "16", "--size", "24") == names(small)
    assert predicted() == predicted("--keep-aspect") == names(large)


def test_training_crop_is_mentioned(here: Path, capfd: Capture) -> None:
    run = write_run(OUTPUTS, "data.sources.faces.crop=20")
    write_image(here / "me.png")
    command = ["translate", run, "me.png", "--to", "Male", "--from", "", "--out", "o"]
    assert main(command) == 0
    assert "faces was trained with crop=20: use --crop 20" in capfd.readouterr().err
    assert main([*command, "--crop", "20"]) == 0
    assert "was trained with crop" not in capfd.readouterr().err


def test_unavailable_gpu(lab: tuple[str, str], here: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(here / "me.png")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    message = refused(["translate", lab[0], "me.png", "--to", "Male", "--device", "cuda:2"], capfd)
    assert "--device: cuda:2 is not available; allowed: auto, cpu, cuda, cuda:0, cuda:1" in message
    assert find_device("--device", "cuda:1") == torch.device("cuda:1")
    assert find_device("--device", "auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^trainer\.device: cuda is not available; allowed: auto, cpu$"):
        find_device("trainer.device", "cuda")


def test_unreadable_images_are_skipped(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    write_image(here / "in" / "good.png")
    content = write_image(here / "in" / "half.png", 90, 90).read_bytes()
    (here / "in" / "half.png").write_bytes(content[:999])
    (here / "in" / "text.jpg").write_text("hello")
    assert main(["translate", lab[0], "in", "--to", "Male", "--from", "", "--out", "out"]) == 1
    skipped = [line for line in capfd.readouterr().err.splitlines() if line.startswith("skipped: ")]
    assert [line.split(":")[1].strip() for line in skipped] == ["in/half.png", "in/text.jpg"]
    assert {p.name for p in Path("out").iterdir()} == {"good.Male.png", "strip.png"}


def test_reference_file(here: Path, capfd: Capture) -> None:
    write_pair(here)
    write_image(here / "me.png")
    command = ["translate", "200000-G.ckpt", "me.png"]
    assert main([*command, "--to", "Blond_Hair", "--from", "Black_Hair", "--out", "o"]) == 0
    assert "default labels: Black_Hair, Blond_Hair, Brown_Hair, Male, Young" in capfd.readouterr().err
    assert pixels_of("o/me.Blond_Hair.png").shape == (3, 32, 32), "the size of the discriminator next to it"
    Path("200000-D.ckpt").unlink()
    assert main([*command, "--to", "b", "--attributes", "a,b,c,d,e", "--out", "p"]) == 0
    assert "assuming 128 px" in capfd.readouterr().err
    assert pixels_of("p/me.b.png").shape == (3, 128, 128)


def test_reference_file_of_two_datasets(here: Path) -> None:
    write_pair(here, "multi")
    image = write_image(here / "me.png")
    names = ["--attributes", "Black_Hair,Male,Young", "--classes", "angry,happy,sad,calm"]
    assert main(["translate", "200000-G.ckpt", "me.png", "--to", "Male,happy,rafd.sad", *names, "--out", "o"]) == 0
    files = {"me.Male.png", "me.happy.png", "me.rafd.sad.png", "strip.png"}
    assert {p.name for p in Path("o").iterdir()} == files
    model = load_model("200000-G.ckpt", OUTPUTS, None, list("abc"), list("wxyz"))
    label = torch.tensor([[0.0, 0, 0, 0, 1, 0, 0, 0, 1]])
    with torch.no_grad():
        expected = to_uint8(model.generator(to_float(square_of(image, 32)), label))[0]
    assert torch.equal(pixels_of("o/me.happy.png"), expected)


REFUSED = [
    (["RUN", "me.png", "--to", "Male", "--from", "Mal"], ["--from", "'Mal'", "'Male'"]),
    (["RUN", "you.png", "--to", "Male"], ["you.png: no such file or directory"]),
    (["RUN", "empty", "--to", "Male"], ["empty: contains no images"]),
    (["RUN", "me.png", "--to", "Male", "--size", "18"], ["--size: 18 is not a multiple of 4; nearest: 16"]),
    (["RUN", "me.png", "--to", "Male", "--size", "4"], ["--size: the generator does not support 4 px", "1x1"]),
    (["RUN", "me.png", "--to", "Male", "--crop", "0"], ["--crop"]),
    (["RUN", "me.png", "--to", "Male", "--crop", "9", "--keep-aspect"], ["--crop", "--keep-aspect"]),
    (["RUN", "me.png", "--to", "Male", "--out", "me.png"], ["--out: me.png"]),
    (["200000-G.ckpt", "me.png", "--to", "Male", "--attributes", "Male,Young"], ["got 2 names", "length 5"]),
    (["integers-G.ckpt", "me.png", "--to", "Male"], ["integers-G.ckpt: it has dtype int64", "floating-point weights"]),
]


@pytest.mark.parametrize(("arguments", "parts"), REFUSED, ids=lambda value: " ".join(value))
def test_refused_translations(
    arguments: list[str], parts: list[str], lab: tuple[str, str], here: Path, capfd: Capture
) -> None:
    write_pair(here)
    torch.save({key: value.long() for key, value in golden_state("G").items()}, "integers-G.ckpt")
    write_image(here / "me.png")
    (here / "empty").mkdir()
    message = refused(["translate", *(lab[0] if word == "RUN" else word for word in arguments)], capfd)
    assert all(part in message for part in parts), message


@pytest.mark.slow
def test_train_from_weights_and_translate_with_its_classifier(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    run, averaged = lab
    train = ["train", "preset=tiny", "tracking.enabled=false", "trainer.device=cpu", "total_steps=2"]
    before = {p.name for p in (OUTPUTS / "runs").iterdir()}
    assert main([*train, f"initial.generator={averaged}", f"initial.discriminator={run}"]) == 0
    (trained,) = {p.name for p in (OUTPUTS / "runs").iterdir()} - before
    assert main(["export", averaged, "--no-ema", "--to", "out"]) == 0
    assert main(["export", run, "--to", "out"]) == 0
    capfd.readouterr()
    assert main([*train, "initial.generator=out/7-G.ckpt", "initial.discriminator=out/4-D.ckpt"]) == 0
    assert f"already finished: run {trained}" in capfd.readouterr().err, "the same weights in other files"

    image = next((OUTPUTS / "data").rglob("*.png"))
    assert main(["translate", trained, str(image), "--to", "Male"]) == 0
    assert f"{image}: predicted " in capfd.readouterr().err
    shutil.rmtree("outputs/data")
    shutil.copy(OUTPUTS / "translations" / trained / f"{image.stem}.Male.png", "me.png")
    assert main(["translate", trained, "me.png", "--to", "Male"]) == 0
    assert "me.png: predicted " in capfd.readouterr().err, "the dataset is not needed"
    assert not Path("outputs/data").exists()
