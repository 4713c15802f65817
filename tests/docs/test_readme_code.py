"""The README's code runs, its lists are those of the registries, and its traps are the tests that exist."""

import re

import torch

import pellucid as pc
from pages import ROOT, code, isolated, run_blocks, section, tables, text_of
from pellucid.core.refiner import REFINERS


def test_the_readme_code_runs_as_it_stands(tmp_path):
    with isolated(tmp_path):
        names = run_blocks("README.md", tmp_path)
    a, case = names["a"], names["case"]
    assert a.maps["ct"].shape == case.inputs["ct"].shape
    assert a.target["label"] == "malignant"
    assert {"finite", "not_empty", "not_flat", "complete", "stable", "sane", "better"} == set(a.checks)
    assert all(v.status != "not tested" for v in a.checks.values())
    assert {"deletion_auc", "insertion_auc", "pointing_game"} == set(names["scores"])
    assert [m.method for m in names["maps"]] == ["saliency", "occlusion", "random", "edge"]
    assert (tmp_path / "map.npz").is_file()
    assert torch.isfinite(a.maps["ct"]).all()


def listed(word):
    """The names between backticks in the README's paragraph that begins with a bold word."""
    paragraph = re.search(rf"\*\*{word}\*\*.*?(?=\n\n)", section("README.md", "What there is"), flags=re.S)
    return code(paragraph.group(0).split("**Networks**")[0 if word != "Networks" else -1])


def test_the_lists_are_those_of_the_registries():
    assert sorted(listed("Methods")) == sorted(pc.methods().index)
    assert sorted(listed("Metrics")) == sorted(pc.metrics().index)
    assert sorted(listed("Data sets")) == sorted(pc.datasets().index)
    assert sorted(listed("Networks")) == sorted(pc.networks().index)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1))
    predictor = pc.Predictor(net.eval(), inputs=["x"], task="regression")
    a = pc.explain(predictor, pc.Case(id="1", inputs={"x": torch.ones(1, 2, 2)}), method="saliency")
    assert sorted(listed("Verdicts")) == sorted([*a.checks, "inside"])
    assert sorted(listed("Refiners")) == sorted(REFINERS)


def test_every_public_name_on_a_page_is_there():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    named = {(p.name, name) for p in pages for name in re.findall(r"\bpc\.(\w+)", p.read_text(encoding="utf-8"))}
    assert len(named) > 20
    assert {(page, name) for page, name in named if name not in pc.__all__} == set()


def test_the_versions_agree():
    assert f"## [{pc.__version__}]" in text_of("CHANGELOG.md")
    assert f"version: {pc.__version__}\n" in text_of("CITATION.cff")


def test_every_trap_in_the_readme_is_a_test_and_every_such_test_is_in_the_readme():
    (rows,) = tables(section("README.md", "Why another tool"))
    named = [code(row["test"])[0] for row in rows]
    assert len(named) == len(set(named))
    there = {f"tests/traps/{p.name}" for p in (ROOT / "tests" / "traps").glob("test_*.py")}
    assert set(named) - there == set(), "the README names traps that have no test"
    assert there - set(named) == set(), "traps that the README's table does not name yet: add a row for each"
    assert all(row["the trap"] and row["here"] for row in rows)


def test_all_links_of_all_pages_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_index_names_every_page():
    index = text_of("docs/index.md")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index, page.name
