"""The LaTeX of a report is compiled, and its HTML page is measured in a browser."""

import json
import re
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from pandas import DataFrame
from scored import row
from tools import require_tool

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.collect_runs import as_frame
from stargan_lab.report.content import content_of
from stargan_lab.report.pages import FORMATS, tex, write_report
from stargan_lab.tracking.metrics import lookup, names
from stargan_lab.tracking.run_folder import RunFolder

pytestmark = pytest.mark.integration

VARIANTS = {
    "instance": ("discriminator.norm=instance",),
    "spectral norm without instance norm": ("discriminator.norm=spectral", "lipschitz=none"),
    "one-sided penalty with eight interpolates": ("lipschitz=gp", "lipschitz.one_sided=true", "lipschitz.samples=8"),
    "layer_norm & 50% width <narrow>": ("discriminator.norm=layer", "discriminator.width=32"),
    "vanilla": ("adversarial=vanilla", "lipschitz=none", "optimizer=rmsprop", "optimizer.d_lr=0.00005"),
    "group norm, equal number of discriminator updates": ("discriminator.norm=group", "n_critic=1"),
}
METRICS = {"eval/edit": 0.6, "eval/leak": 0.04, "eval/accuracy": 0.9, "eval/frechet_classifier": 12.0}
METRICS |= {"eval/reconstruction": 0.05, "eval/psnr": 23.0, "eval/ssim": 0.78, "eval/identity": 0.3}
DOMAINS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Oval_Face", "Young")
WARNINGS = [
    {"code": "few-images", "metrics": ["eval/frechet_classifier"], "text": "faces: 9 images, fewer than 64_features"},
    {
        "code": "no-weights",
        "metrics": [],
        "text": "evaluation.weights: no Inception weights, so no FID; copy them to "
        "/home/somebody/projects/stargan/outputs/cache/weights/pt_inception-2015-12-05-6726825d.pth",
    },
]
AUDIT = {"images.batch_size": 16, "flops.run": 1.6e12, "penalty.slope": 0.0625}
DOCUMENT = r"""\documentclass[a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage{lmodern}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
%s
\end{document}
"""
MEASURE = """<script>addEventListener("load", () => parent.postMessage({
  inner: innerWidth, scroll: document.documentElement.scrollWidth,
  images: [...document.images].map(image => image.naturalWidth), shown: document.images[0].width,
  requests: performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !name.startsWith("data:"))
}, "*"))</script>"""
HOST = """<!doctype html><body><pre></pre><script>
const seen = [];
addEventListener("message", event => {
  seen.push(event.data);
  document.querySelector("pre").textContent = JSON.stringify(seen);
});
</script>%s</body>"""


@pytest.fixture
def large(ablation: Ablation, runs_on_disk: Callable[..., RunFolder]) -> tuple[Ablation, DataFrame]:
    """Six variants with long names and four seeds; failed runs, warnings, samples and learning curves."""
    random, rows = np.random.default_rng(0), []
    for variant in VARIANTS:
        for seed in range(4):
            folder = runs_on_disk(variant, seed, f"run{len(rows):02d}", 0.5)
            for step in (100, 200, 300):
                folder.append(step, {"loss/g_rec": 1 / step, "loss/d_gp": random.random()})
            scores = {name: value * random.normal(1, 0.05) for name, value in METRICS.items()}
            scores |= {f"eval/edit/{domain}": random.random() for domain in DOMAINS}
            numbers = {"seconds": 3600.0, "seconds_per_step": 0.1, "parameters.generator": 8_416_000}
            about = {"protocol": "8ee410a190e6", "code": "2eaf5b0528ba", "machine": "AMD EPYC (family 25)"}
            rows.append(row(variant, seed, **about, **numbers, audit=AUDIT, folder=folder.path, **scores))
    error = "loss/d_gp became NaN at step 40; the last checkpoint is outputs/runs/c39f15fcb721/checkpoints/last.pt"
    for failed in (rows[-1], rows[-2]):
        failed |= {"status": "failed", "error": error}
    rows[0] |= {"warnings": WARNINGS, "audit": AUDIT | {"images.batch_size": 8}}
    baseline, *others = VARIANTS
    changed = Ablation(
        name="large",
        title="Norm & penalty of the discriminator",
        claim=ablation.claim,
        source="Gulrajani et al. 2017 (arXiv:1704.00028), section 4",
        base=("preset=quickstart", "total_steps=3000", "evaluation.weights=download", "schedule=linear"),
        baseline=baseline,
        variants=VARIANTS,
        seeds=tuple(range(4)),
        primary="eval/edit",
        expected=dict.fromkeys(others, "worse"),
        secondary=("eval/accuracy", "eval/frechet_classifier"),
        smallest_effect=0.05,
    )
    return changed, as_frame(rows)


def compile_tex(folder: Path, body: str) -> None:
    """Compile a document; fails on errors, and on boxes wider than the text."""
    (folder / "document.tex").write_text(DOCUMENT % body)
    command = [require_tool("pdflatex"), "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]
    log = (folder / "document.log").read_text(errors="replace")
    assert not re.findall(r"Overfull \\hbox.*\n.*", log), log


def test_the_latex_fits_the_page(large: tuple[Ablation, DataFrame], tmp_path: Path) -> None:
    out = tmp_path / "report"
    write_report(content_of(*large, "stargan-lab sweep large"), out, FORMATS)
    text = (out / "report.tex").read_text()
    assert all(part in text for part in ("{effects}", "{curves}", "{strip.png}", r"few-images", "By domain"))
    compile_tex(out, r"\input{report.tex}")


def test_every_description_of_a_metric_compiles(tmp_path: Path) -> None:
    """Its characters, and those of intervals without an end, of titles and of settings."""
    texts = [f"{lookup(name).label}: {lookup(name).meaning}" for name in names()]
    texts += [
        "[−∞, ∞] ± 0.1 – Δ ² · … 2 × 3 → 4 ← 5 é ä ń ½ ≤ ≥ ∇ Σ γ σ ᵀ ³ ₀",
        r"C:\a_b ~x ^y #1 $5 {z} [q] 1 < 2 > 0 | `v' \"w\"",
    ]
    lines = "\n".join(rf"  \item {tex(text)}" for text in texts)
    compile_tex(tmp_path, f"\\sloppy\\begin{{itemize}}\n{lines}\n\\end{{itemize}}\n")


def test_the_page_fits_wide_and_narrow_windows_and_loads_nothing(
    large: tuple[Ablation, DataFrame], tmp_path: Path
) -> None:
    write_report(content_of(*large, "stargan-lab sweep large"), tmp_path / "report", ("html",))
    page = (tmp_path / "report" / "report.html").read_text()
    (tmp_path / "page.html").write_text(page.replace("</body>", f"{MEASURE}</body>"))
    frames = [f'<iframe src="page.html" style="width:{w}px;height:900px;border:0"></iframe>' for w in (1400, 400)]
    (tmp_path / "host.html").write_text(HOST % "".join(frames))
    command = [require_tool("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [
        "--window-size=1600,1000",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=10000",
        "--dump-dom",
    ]
    command.append((tmp_path / "host.html").as_uri())
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    found = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert found and found[1], done.stderr[-3000:]
    wide, narrow = sorted(json.loads(unescape(found[1])), key=lambda each: -each["inner"])
    assert (wide["inner"], narrow["inner"]) == (1400, 400)
    for measured in (wide, narrow):
        assert measured["scroll"] <= measured["inner"]
        assert len(measured["images"]) == 3 and all(measured["images"])
        assert measured["requests"] == []
    # the plot of effects: three columns in a wide window, one in a narrow one, neither of them shrunk
    assert wide["images"][0] > 800 and narrow["images"][0] < 400 and wide["images"][1:] == narrow["images"][1:]
    assert all(measured["shown"] > 0.95 * measured["images"][0] for measured in (wide, narrow))
    assert not re.search(r'(src|srcset|href)="(?!data:)|url\(|@import', page)
