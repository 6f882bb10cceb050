"""The public names of the package."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import Lab, Outcome

import stargan_lab
from stargan_lab import build_networks, compose, run

FUNCTIONS = {"build_networks", "compose", "load_runs", "run"}


def test_public_names_exist() -> None:
    assert set(stargan_lab.__all__) == {"ConfigError", "LabError", "__version__"} | FUNCTIONS
    for name in stargan_lab.__all__:
        assert getattr(stargan_lab, name) is not None
    with pytest.raises(AttributeError, match="buidl_networks"):
        stargan_lab.buidl_networks  # noqa: B018


def test_public_names_are_functions() -> None:
    """A module of the same name would replace a public name when it is imported."""
    names = ", ".join(sorted(FUNCTIONS))
    code = f"from stargan_lab import {names}; print({names})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("<function ") == len(FUNCTIONS), done.stdout


def test_build_networks_from_a_configuration(here: Path) -> None:
    config = compose(["preset=tiny", "generator.width=6"])
    assert (config.total_steps, config.generator.options["width"]) == (4, 6)
    generator, critic = build_networks(config)
    images, labels = torch.rand(2, 3, 16, 16) * 2 - 1, torch.tensor([[1.0, 0, 0, 1, 0, 1], [0, 1.0, 0, 0, 1, 0]])
    translated = generator(images, labels)
    assert translated.shape == images.shape and translated.abs().max() <= 1
    scores, logits = critic(translated)
    assert scores.shape == (2, 1, 4, 4) and logits.shape == (2, 6)
    again, _ = build_networks(config)
    other, _ = build_networks(compose(["preset=tiny", "generator.width=6", "seed=1"]))
    assert all(torch.equal(a, b) for a, b in zip(generator.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(generator.parameters(), other.parameters(), strict=True))
    assert list(here.iterdir()) == []


@pytest.mark.integration
def test_run_equals_the_train_command(first: tuple[Lab, Outcome], lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    overrides = ["preset=tiny", f"paths.outputs={lab.outputs}"]
    result = run(overrides)
    expected = first[0].result()
    for key in ("run_id", "status", "state_sha256", "metrics"):
        assert result[key] == expected[key], key
    assert run(compose(overrides))["state_sha256"] == expected["state_sha256"]
    assert "already finished: run" in capfd.readouterr().err
