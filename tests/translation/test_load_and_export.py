"""Loading and exporting the networks of runs and of reference files."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from refusals import refused
from stored import golden_state, write_pair, write_run

from stargan_lab.checkpoints.weight_files import digest, read_checkpoint
from stargan_lab.cli.main import main
from stargan_lab.runs.load import load_model

Capture = pytest.CaptureFixture[str]
OUTPUTS = Path("outputs")


def test_load_by_prefix_folder_and_checkpoint(lab: tuple[str, str]) -> None:
    run, _ = lab
    folder = OUTPUTS / "runs" / run
    checkpoint = read_checkpoint(folder / "checkpoints" / "last.pt")
    images, labels = torch.rand(2, 3, 16, 16) * 2 - 1, torch.ones(2, 6)
    expected = load_model(run, OUTPUTS).translator()(images, labels, 0)
    for name in (run[:5], str(folder), str(checkpoint.path)):
        model = load_model(name, OUTPUTS)
        assert (model.name, model.step, model.image_size, model.averaged) == (run, 4, 16, False)
        assert torch.equal(model.translator()(images, labels, 0), expected)
        assert digest(model.generator.state_dict()) == digest(checkpoint.states["generator"])
        assert model.critic is not None
        assert digest(model.critic.state_dict()) == digest(checkpoint.states["discriminator"])


def test_average_is_the_default_if_there_is_one(lab: tuple[str, str]) -> None:
    _, averaged = lab
    checkpoint = read_checkpoint(OUTPUTS / "runs" / averaged / "checkpoints" / "last.pt")
    for ema, state in ((None, "average"), (True, "average"), (False, "generator")):
        model = load_model(averaged, OUTPUTS, ema)
        assert model.averaged == (state == "average")
        assert digest(model.generator.state_dict()) == digest(checkpoint.states[state])


def test_load_without_data_and_from_an_older_record(lab: tuple[str, str]) -> None:
    run, _ = lab
    shutil.rmtree("outputs/data", ignore_errors=True)
    path = OUTPUTS / "runs" / run / "config.yaml"
    config = yaml.safe_load(path.read_text())
    del config["initial"], config["trainer"]["sample_seed"], config["ema"]
    config["data"]["sources"]["faces"]["attributes"] = ["Male"]  # labels.json has priority
    path.write_text(yaml.safe_dump(config))
    model = load_model(run, OUTPUTS)
    assert len(model.layout.specs[0].names) == 6
    assert model.config is not None and model.config.ema.decay == 0


def test_load_without_labels_file_uses_the_dataset(here: Path) -> None:
    run = write_run(OUTPUTS, layout=False)
    assert load_model(run, OUTPUTS).layout.specs[0].names[-1] == "Oval_Face"


def test_load_a_checkpoint_without_its_run(lab: tuple[str, str]) -> None:
    shutil.copy(OUTPUTS / "runs" / lab[0] / "checkpoints" / "last.pt", "moved.pt")
    model = load_model("moved.pt", OUTPUTS, attributes=list("abcdef"))
    assert (model.step, model.image_size, model.layout.specs[0].names) == (4, 16, tuple("abcdef"))
    assert digest(model.generator.state_dict()) == digest(load_model(lab[0], OUTPUTS).generator.state_dict())


def test_export_a_run_in_the_reference_format(lab: tuple[str, str], capfd: Capture) -> None:
    run, _ = lab
    assert main(["export", run[:6]]) == 0
    paths = [OUTPUTS / "exports" / run / f"4-{letter}.ckpt" for letter in "GD"]
    assert capfd.readouterr().out.split() == list(map(str, paths))
    model = load_model(run, OUTPUTS)
    for path, network in zip(paths, (model.generator, model.critic), strict=True):
        assert network is not None
        state = torch.load(path, weights_only=True)
        assert list(state) == list(network.state_dict())
        assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
        assert path.stat().st_size < 2 * sum(v.numel() * 4 for v in state.values()) + 60_000, "shares no storage"


def test_reference_weights_are_exported_unchanged(here: Path) -> None:
    folder = write_pair(here)
    sizes = ["generator.blocks=2", "discriminator.depth=3", "data.image_size=32"]
    attributes = "data.sources.faces.attributes=[Black_Hair,Blond_Hair,Brown_Hair,Male,Young]"
    files = [f"initial.generator={folder}/200000-G.ckpt", f"initial.discriminator={folder}/200000-D.ckpt"]
    run = write_run(OUTPUTS, *sizes, attributes, *files, step=0)
    checkpoint = read_checkpoint(OUTPUTS / "runs" / run / "checkpoints" / "last.pt")
    moved = {k: v + 0.01 for k, v in golden_state("G").items() if k.endswith((".weight", ".bias"))}
    assert all(torch.equal(checkpoint.states["generator"][key], value) for key, value in moved.items())
    assert main(["export", run, "--to", "out"]) == 0
    assert digest(read_checkpoint(Path("out/0-D.ckpt")).states[""]) == digest(golden_state("D"))


@pytest.mark.parametrize("source", ["run", "file"])
def test_generator_is_exported_alone_without_a_discriminator_of_stargan(
    lab: tuple[str, str], capfd: Capture, source: str
) -> None:
    torch.save(golden_state("G"), "lone-G.ckpt")
    run = write_run(OUTPUTS, "discriminator.norm=instance") if source == "run" else "lone-G.ckpt"
    assert main(["export", run, "--to", "alone"]) == 0
    out, err = capfd.readouterr()
    (path,) = map(Path, out.split())
    reason = {"run": "the discriminator does not match the StarGAN discriminator", "file": "no discriminator"}[source]
    assert f"{reason}" in err and "exporting the generator alone" in err and "--resume_iters" not in err
    assert sorted(Path("alone").iterdir()) == [path] and path.name.endswith("-G.ckpt")
    expected = load_model(run, OUTPUTS).generator.state_dict()
    assert digest(read_checkpoint(path).states[""]) == digest(expected)


@pytest.mark.slow
def test_onnx_of_a_run_and_of_a_reference_file(lab: tuple[str, str], here: Path, capfd: Capture) -> None:
    import onnx

    assert main(["export", lab[1], "--format", "onnx"]) == 0
    assert main(["export", str(write_pair(here) / "200000-G.ckpt"), "--format", "onnx", "--to", "mine.onnx"]) == 0
    out, err = capfd.readouterr()
    assert out.split() == [f"outputs/exports/{lab[1]}/7-G.onnx", "mine.onnx"]
    assert err.count("by at most") == 2
    metadata = {entry.key: entry.value for entry in onnx.load("mine.onnx").metadata_props}
    assert "Blond_Hair" in metadata["columns_of_label"] and metadata["image_size"] == "32"
    assert metadata["run"] == "200000-G"
    of_run = {entry.key: entry.value for entry in onnx.load(f"outputs/exports/{lab[1]}/7-G.onnx").metadata_props}
    assert [of_run[key] for key in ("run", "step", "averaged")] == [lab[1], "7", "true"]


REFUSED = [
    (["nope"], ["no run matches 'nope' (2 runs in outputs/runs)"]),
    (["RUN", "--ema"], ["--ema: the run has no average", "ema.decay=0"]),
    (["RUN", "--to", "x.ckpt"], ["--to"]),
    (["RUN", "--format", "onnx", "--to", "x.pt"], ["--to", ".onnx"]),
    (["RUN", "--attributes", "a"], ["--attributes", "records its labels"]),
    (["200000-D.ckpt"], ["contains a discriminator; expected a generator"]),
    (["LAYER"], ["the generator does not match the StarGAN generator: it"]),
]


@pytest.mark.parametrize(("arguments", "parts"), REFUSED, ids=lambda value: " ".join(value))
def test_refused_exports(
    arguments: list[str], parts: list[str], lab: tuple[str, str], here: Path, capfd: Capture
) -> None:
    write_pair(here)
    torch.save(golden_state("G"), "lone-G.ckpt")
    names = {"RUN": lab[0]}
    if "LAYER" in arguments:
        names["LAYER"] = write_run(OUTPUTS, "generator.norm=layer")
    message = refused(["export", *(names.get(word, word) for word in arguments)], capfd)
    assert all(part in message for part in parts), message
