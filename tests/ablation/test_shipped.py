"""The shipped ablations: each says what it claims, and each cell composes at each preset."""

from dataclasses import replace
from pathlib import Path

import pytest
import stargan_lab.experiments
import yaml
from PIL import Image

from stargan_lab.ablation.plan import plan
from stargan_lab.ablation.spec import available, load
from stargan_lab.cli.main import main
from stargan_lab.data.celeba_annotations import CELEBA_ATTRIBUTES
from stargan_lab.tracking.metrics import lookup

SHIPPED = sorted(path.stem for path in Path(next(iter(stargan_lab.experiments.__path__))).glob("*.yaml"))
WITH_PRESETS = [name for name in SHIPPED if name != "quickstart"]
PRESETS = ("tiny", "small", "reference")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def real_data(here: Path) -> None:
    """Five blank images in CelebA's layout and two per class in RaFD's, in the folders that data=both expects."""
    image, rows, parts = Image.new("RGB", (178, 218)), [], []
    (here / "data/celeba/images").mkdir(parents=True)
    for number, split in enumerate((0, 0, 0, 1, 2)):
        image.save(here / f"data/celeba/images/{number}.png")
        rows.append(f"{number}.png " + " ".join("-1" if number % 2 else "1" for _ in CELEBA_ATTRIBUTES))
        parts.append(f"{number}.png {split}")
    text = "\n".join(["5", " ".join(CELEBA_ATTRIBUTES), *rows])
    (here / "data/celeba/list_attr_celeba.txt").write_text(text + "\n")
    (here / "data/celeba/list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    for folder in (here / "data/RaFD" / split / label for split in ("train", "test") for label in ("happy", "sad")):
        folder.mkdir(parents=True)
        image.save(folder / "0.png")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_cell_composes_in_a_dry_run(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """At the preset tiny."""
    assert main(["sweep", name, "--dry-run", "seed=0"]) == 0
    *lines, left = capsys.readouterr().out.splitlines()
    variants = list(load(name).variants)
    assert left.startswith(f"{len(variants)} runs left")
    assert [variant in line for variant, line in zip(variants, lines, strict=True)] == [True] * len(variants)
    assert len({line.split()[0] for line in lines}) == len(variants)
    assert list(here.iterdir()) == []  # planning writes nothing


@pytest.mark.parametrize("preset", PRESETS[1:])
@pytest.mark.parametrize("name", WITH_PRESETS)
@pytest.mark.usefixtures("real_data")
def test_the_last_variant_composes_at_the_larger_presets(name: str, preset: str) -> None:
    ablation = load(name, preset)
    last = list(ablation.variants)[-1]
    only = replace(ablation, variants={last: ablation.variants[last]}, matched={}, factors={})
    (cell,) = plan(only, ["seed=0"])
    assert cell.config.data.image_size == {"small": 64, "reference": 128}[preset]


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS[1:])
@pytest.mark.parametrize("name", WITH_PRESETS)
@pytest.mark.usefixtures("real_data")
def test_every_cell_composes_at_the_larger_presets(name: str, preset: str) -> None:
    ablation = load(name, preset)
    cells = plan(ablation, ["seed=0"])
    assert len({cell.run_id for cell in cells}) == len(cells) == len(ablation.variants)


@pytest.mark.parametrize("name", SHIPPED)
def test_it_states_what_a_report_needs(name: str) -> None:
    presets = load(name).presets
    assert presets == ((), PRESETS)[name in WITH_PRESETS]
    for ablation in [load(name, preset) for preset in presets] or [load(name)]:
        assert len(ablation.claim) > 20 and ablation.source and ablation.title != name
        assert len(ablation.seeds) >= 3  # two have too little power
        assert lookup(ablation.primary).direction != "none"  # a verdict needs a better and a worse
        assert all(lookup(metric) for metric in ablation.secondary)
        assert ablation.smallest_effect and ablation.secondary


@pytest.mark.parametrize("name", SHIPPED)
def test_it_states_the_expected_outcome_of_every_variant(name: str) -> None:
    """``unknown`` too: an omitted variant would be unknown without anyone having decided so."""
    ablation, stated = load(name), yaml.safe_load(available()[name].read_text())["expected"]
    others = set(ablation.variants) - {ablation.baseline}
    assert isinstance(stated, str) or set(map(str, stated)) - set(ablation.contrasts()) == others


def test_the_page_lists_the_shipped_ablations_and_its_examples_are_valid(here: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "ablations.md").read_text()
    rows = [row.split("`")[1] for row in page.partition("## Shipped")[2].splitlines() if row.startswith("| `")]
    assert sorted(rows) == SHIPPED
    arms, grid, presets = (block.split("```")[0] for block in page.split("```yaml\n")[1:])
    (here / "experiments").mkdir()
    required = "claim: c\nseeds: [0]\nprimary: eval/edit\n"
    for name, text in {"arms": arms + presets, "grid": grid}.items():
        (here / "experiments" / f"{name}.yaml").write_text(required + text)
    assert load("arms.reference").variants["clipping, rmsprop"][1] == "lipschitz.bound=0.1"
    assert load("arms").comparisons()["penalty, rmsprop"] == ["clipping, rmsprop"]
    assert len(load("grid").variants) == 4
