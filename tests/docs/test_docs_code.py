"""The code on the pages is complete: extracted as it stands, run in a folder of its own, and it does what it says."""

import shlex

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from make_nih import make_nih
from pages import DOCS, blocks, isolated, run_blocks
from pellucid.cli import app
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.metric import METRICS
from pellucid.data.registry import DATASETS

NEW = {
    "docs/howto-write-a-method.md": (EXPLAINERS, "squared_gradient"),
    "docs/howto-write-a-metric.md": (METRICS, "share_above"),
    "docs/howto-write-a-data-set.md": (DATASETS, "my_scans"),
}
OTHERS = [
    f"docs/{p.name}" for p in sorted(DOCS.glob("*.md"))
    if blocks(f"docs/{p.name}") and f"docs/{p.name}" not in NEW and p.name != "howto-own-model.md"
]  # fmt: skip


def scans(folder):
    """Eight small pictures of four patients, and a table."""
    (folder / "scans").mkdir()
    rng = np.random.default_rng(0)
    rows = [{"id": f"s{i}", "patient": f"p{i // 2}", "abnormal": i // 2 % 2} for i in range(8)]
    for row in rows:
        Image.fromarray((rng.random((12, 12)) * 255).astype(np.uint8)).save(folder / "scans" / f"{row['id']}.png")
    pd.DataFrame(rows).to_csv(folder / "scans" / "labels.csv", index=False)


@pytest.mark.parametrize("page", NEW)
def test_a_new_method_metric_or_data_set_registers_itself_and_runs(page, tmp_path):
    registry, name = NEW[page]
    assert name not in registry
    if registry is DATASETS:
        scans(tmp_path)
    with isolated(tmp_path):
        run_blocks(page, tmp_path)
        assert name in registry
    assert name not in registry


@pytest.mark.parametrize("page", NEW)
def test_its_code_is_under_thirty_lines(page):
    source = blocks(page)[0]
    assert source.startswith("# ")
    assert len([line for line in source.splitlines() if line.strip()]) < 30


@pytest.mark.parametrize("page", OTHERS)
def test_the_other_pages_code_runs(page, tmp_path):
    if page == "docs/howto-nih.md":
        make_nih(tmp_path / "CXR8", patients=10)
    with isolated(tmp_path):
        run_blocks(page, tmp_path)


def test_the_own_model_page_runs_in_python_and_on_the_command_line(tmp_path):
    page = "docs/howto-own-model.md"
    rng = np.random.default_rng(0)
    Image.fromarray((rng.random((32, 32)) * 255).astype(np.uint8)).save(tmp_path / "scan.png")
    pd.DataFrame([{"Age": 71.0, "PackYears": 40.0}]).to_csv(tmp_path / "patient.csv", index=False)
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    assert len(lines) == 2
    with isolated(tmp_path):
        names = run_blocks(page, tmp_path)
        assert set(names["a"].maps) == {"ct"}
        # The first line has no output=: refused, with the sentence that the page quotes.
        refused = CliRunner().invoke(app, shlex.split(lines[0].replace("scan.nii.gz", "scan.png"))[1:])
        assert refused.exit_code == 3
        assert "returned a tuple, not a tensor" in refused.output
        assert (tmp_path / "map.npz").is_file()
        done = CliRunner().invoke(app, shlex.split(lines[1])[1:])
        assert done.exit_code == 0, done.output
    made = {p.suffix for p in (tmp_path / "runs" / "mine").iterdir()}
    assert made == {".npz", ".png", ".json"}


def test_every_command_on_every_page_is_one_that_exists():
    import typer

    commands = typer.main.get_command(app).commands
    pages = ["README.md", *(f"docs/{p.name}" for p in DOCS.glob("*.md"))]
    seen = 0
    for page in pages:
        for block in blocks(page, "console"):
            for line in block.splitlines():
                words = shlex.split(line)
                if words[0] != "pellucid":
                    assert words in (["make", "demo"], ["make", "test"]), f"{page}: {line}"
                    continue
                seen += 1
                known = {o for p in commands[words[1]].params for o in p.opts}
                assert {w for w in words if w.startswith("--")} <= known, f"{page}: {line}"
    assert seen >= 3
