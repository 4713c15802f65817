"""The five notebooks, run from beginning to end on small drawn slices; what they find is looked at, not only that they run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = {p.name: p for p in sorted((ROOT / "notebooks").glob("*.ipynb"))}
# What has to be true when a notebook is done, in its own names.
FOUND = {
    "01-training.ipynb": """
        assert leaked > honest + 0.15
        assert (study.MODEL / "model.json").is_file()
        assert trained.history["val_loss"].min() < 0.6
        assert float(table.set_index("metric")["value"]["auroc"]) > 0.75
    """,
    "02-cam.ipynb": """
        assert scores["pointing_game"][["grad_cam", "grad_cam_pp", "hires_cam"]].max() > 0.5
        assert scores["mass_accuracy"]["grad_cam"] > 2 * scores["mass_accuracy"]["random"]
        assert maps[0].maps["image"].abs().max() > 0
    """,
    "03-shap.ipynb": """
        shap = list(METHODS)
        assert scores["mass_accuracy"][shap].min() > 1.5 * scores["mass_accuracy"]["random"]
        assert scores["pointing_game"][shap].max() > 0.5
        assert maps["partition_shap"].checks["complete"].status == "pass"
    """,
    "04-occlusion.ipynb": """
        assert fine.cost.forwards < dense.cost.forwards
        assert scores["pointing_game"]["hierarchical_occlusion"] > 0.5
        assert scores["mass_accuracy"]["hierarchical_occlusion"] > 2 * scores["mass_accuracy"]["random"]
    """,
    "05-ensemble.ipynb": """
        assert all(int(v.max()) <= len(MEMBERS) for v in votes.values())
        assert int(votes["threshold"].max()) >= 2
        assert scores["pointing_game"][RULES].max() > 0.5
    """,
}


class ThisPython(KernelManager):
    """A kernel that is the running interpreter, whatever kernels are installed."""

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """The command."""
        return [sys.executable, "-m", "ipykernel_launcher", "-f", self.connection_file, *(extra_arguments or [])]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThisPython]:
    """One kernel for all, which imports torch once; the notebooks' names are cleared between them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PELLUCID_NOTEBOOK", "small")
        patch.setenv("PELLUCID_NOTEBOOK_OUT", str(tmp_path_factory.mktemp("notebooks")))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patch.delenv("PELLUCID_SLICES", raising=False)
        manager = ThisPython()
        manager.start_kernel(cwd=str(ROOT / "notebooks"))
        try:
            yield manager
        finally:
            manager.shutdown_kernel(now=True)


def test_there_are_the_five() -> None:
    assert list(NOTEBOOKS) == list(FOUND)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOUND)
def test_it_runs_and_finds_the_lesion(name: str, kernel: ThisPython) -> None:
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    check = "\n".join(line.removeprefix(" " * 8) for line in FOUND[name].strip("\n").splitlines())
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    NotebookClient(notebook, km=kernel, timeout=120).execute(reset_kc=True)  # a cell that fails raises, with its trace


@pytest.mark.parametrize("name", FOUND)
def test_it_is_kept_clean(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.source == cell.source.strip()
        assert all(len(line) <= 132 for line in cell.source.splitlines())
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert text.startswith("# ")
    for page in re.findall(r"\]\((\.\./[^)#]+)", text):
        assert (ROOT / "notebooks" / page).is_file(), page
