"""Recorded configurations as flat keys."""

import pytest
import yaml

from stargan_lab import compose
from stargan_lab.config.recorded import _section, keys_of, read_keys


def test_keys_are_spelled_as_overrides_and_can_all_change_results() -> None:
    overrides = ["preset=tiny", "generator.norm=group", "generator.norm_options={groups: 2}"]
    config = compose([*overrides, "+terms.total_variation.weight=0.1", "trainer.workers=3", "paths.outputs=/elsewhere"])
    text = yaml.safe_dump(config.flat(), sort_keys=False)
    keys = read_keys(text)
    assert keys == keys_of(config.flat())
    expected = {
        "seed": 0,
        "discriminator": "patchgan",
        "discriminator.depth": 2,
        "generator.norm_options.groups": 2,
        "generator.affine": None,
        "data.sources.faces.kind": "synthfaces",
        "terms.total_variation.weight": 0.1,
        "evaluation.extractor": None,
        "trainer.precision": "float32",
    }
    assert {key: keys.get(key, "missing") for key in expected} == expected
    assert keys["data.sources.faces.attributes"].startswith("[Black_Hair, Blond_Hair, ")
    assert not [k for k in keys if k.startswith(("paths", "tracking", "imports", "trainer.workers", "trainer.log"))]
    assert compose([*overrides, *(f"{k}=null" for k, value in keys.items() if value is None and k != "terms")])


@pytest.mark.parametrize(
    "text",
    [
        "# comment\nseed: 1\n\n# other\nweights:\n  rec: 2\n  # inside\n  cls: 3\n",
        "---\nseed: 1\nn_critic: 2\n",
        "data: {sources: &faces [1, 2]}\nterms: *faces\n",
        "targets: 'first\nseed: 3'\n",
        "{seed: 1,\nn_critic: 2}\n",
        "weights:\n- a\nweights:\n  rec: 1\n",
        "targets: |\n  seed: 1\n   two\nseed: 2\n",
        "? seed\n: 1\n",
    ],
)
def test_any_spelling_of_the_file_is_read_as_yaml_does(text: str) -> None:
    assert read_keys(text) == keys_of(yaml.safe_load(text))


@pytest.mark.parametrize("text", ["", "seed: [", "- 1\n- 2\n", "seed: 1\n---\nseed: 2\n", "text"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_keys(text)


def test_sections_that_many_files_share_are_parsed_once() -> None:
    raw = compose(["preset=tiny"]).flat()
    texts = [yaml.safe_dump({**raw, "seed": seed}, sort_keys=False) for seed in range(20)]
    _section.cache_clear()
    assert [read_keys(text)["seed"] for text in texts] == list(range(20))
    assert _section.cache_info().misses == len(raw) + 19
