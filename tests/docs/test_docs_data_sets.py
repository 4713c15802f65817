"""The page of data sets names every one, with all options and their defaults."""

import inspect

import pytest

from pages import code, section, tables, text_of
from pellucid.data import DATASETS
from pellucid.data.chestxdet10 import FINDINGS
from pellucid.data.ham10000 import CLASSES

PAGE = "docs/reference-data-sets.md"
READ = [name for name in DATASETS if "root" in inspect.signature(DATASETS[name]).parameters]


@pytest.mark.parametrize("name", READ)
def test_options_and_defaults_are_those_of_the_loader(name):
    (rows,) = tables(section(PAGE, f"`{name}`"))
    parameters = {k: p.default for k, p in inspect.signature(DATASETS[name]).parameters.items() if k != "root"}
    assert [code(row["option"])[0] for row in rows] == list(parameters)
    for row, (key, default) in zip(rows, parameters.items()):
        said = {inspect.Parameter.empty: "needed", None: "none"}.get(default, f"`{default}`")
        assert row["default"] == said, key


def test_every_data_set_is_there_and_in_the_readme():
    for name in DATASETS:
        assert f"`{name}`" in text_of(PAGE), name
        assert f"`{name}`" in text_of("README.md"), name


def test_the_classes_are_in_their_order():
    page = text_of(PAGE).replace("\n  ", " ")
    assert ", ".join(f"`{c}`" for c in CLASSES) in page
    assert ", ".join(FINDINGS) in page
