"""Candidates for tab completion, from config files and run folders."""

import argparse
from pathlib import Path

from stargan_lab.cli import complete


def overrides(prefix: str, config_dir: Path | None = None) -> set[str]:
    candidates = complete.overrides(prefix, argparse.Namespace(config_dir=config_dir))
    return {word for word in candidates if word.startswith(prefix)}


def test_group_entries() -> None:
    assert overrides("preset=t") == {"preset=tiny"}
    assert overrides("adversarial=wgan,h") == {"adversarial=wgan,hinge"}
    assert overrides("preset=nosuch") == set()


def test_keys_are_offered_level_by_level() -> None:
    assert {"generator=", "generator.", "seed=", "data."} <= overrides("")
    assert not any("." in word[:-1] for word in overrides(""))
    assert {"generator.norm=", "generator.width="} <= overrides("generator.")
    assert overrides("ema") == {"ema.decay="}, "a single branch is expanded"
    assert overrides("hydra") == set()


def test_user_config_directory(tmp_path: Path) -> None:
    for name, text in {"mine.yaml": "# @package _global_\nmy_key: {a: 1}\n", "half.yaml": "a: ["}.items():
        (tmp_path / "preset").mkdir(exist_ok=True)
        (tmp_path / "preset" / name).write_text(text)
    assert overrides("preset=", tmp_path) >= {"preset=mine", "preset=tiny"}
    assert overrides("my_k", tmp_path) == {"my_key.a="}
    assert overrides("preset=t", tmp_path / "nosuch") == {"preset=tiny"}


def test_run_ids(tmp_path: Path) -> None:
    (tmp_path / "runs" / "3f2a").mkdir(parents=True)
    (tmp_path / "runs" / "3f2a" / "config.yaml").write_text("")
    (tmp_path / "runs" / "9c01").mkdir()
    args = argparse.Namespace(outputs=str(tmp_path))
    assert list(complete.run_ids("", args)) == ["3f2a"]
    words = set(complete.runs_and_evaluation("evaluation.", args))
    assert {"3f2a", "evaluation.extractor="} <= words
    assert not any(word.startswith("seed") for word in words)
