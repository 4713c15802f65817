"""The tables of the documentation say what the code says: every name once, and no other."""

import dataclasses
import inspect
import math
import re

import pytest
import torch
import typer
from pydantic_core import PydanticUndefined
from torch import nn

import pellucid as pc
from pages import ROOT, blocks, code, section, tables, text_of
from pellucid.cli import app
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.fill import KINDS, Fill
from pellucid.core.metric import METRICS, NEEDS, QUESTIONS, Metric
from pellucid.core.refiner import REFINERS
from pellucid.core.verdict import Thresholds
from pellucid.data.zones import LUNG_ZONES, ZONES
from pellucid.evaluate.evidence import Evidence, View
from pellucid.evaluate.run import as_metric
from pellucid.explain.make import as_explainer
from pellucid.nets import build_network
from pellucid.report import judge
from pellucid.study import recipe as recipes
from pellucid.study.recipe import load_recipe
from pellucid.study.store import TABLES
from pellucid.train.augment import AUGMENTATIONS
from pellucid.train.losses import BY_TASK

REFINED = {"segx": "SegX", "ensemble": "Ensemble"}  # the section of each refiner


def by_name(rows, key="name"):
    names = [code(row[key])[0] for row in rows]
    assert len(names) == len(set(names)), f"twice in the table: {names}"
    return dict(zip(names, rows))


def test_methods_have_a_row_each_with_their_source():
    rows = by_name(tables(text_of("docs/reference-methods.md"))[0])
    assert set(rows) == set(EXPLAINERS)
    for name, row in rows.items():
        assert code(row["source"]) == [EXPLAINERS[name].source], name
        assert all(row.values()), f"{name}: an empty cell"


@pytest.mark.parametrize(("page", "registry"), [("methods", EXPLAINERS), ("metrics", METRICS)], ids=["methods", "metrics"])
def test_options_are_the_fields_with_their_defaults(page, registry):
    rows = [
        ((name, code(r["option"])[0]), code(r["default"])[0])  # a row may be of several that have the same option
        for r in tables(section(f"docs/reference-{page}.md", "Options"))[0] for name in code(r["name"])
    ]  # fmt: skip
    documented = dict(rows)
    assert len(documented) == len(rows), "an option stands twice in the table"
    real = {}
    for name, cls in registry.items():
        for field in dataclasses.fields(cls):
            value = getattr(cls(), field.name)
            real[name, field.name] = value.kind if isinstance(value, Fill) else str(value)
    assert documented == real


def test_options_of_refiners_are_the_fields_with_their_defaults():
    for name, cls in REFINERS.items():
        rows = by_name(tables(section("docs/methods-refine.md", REFINED[name]))[0], "option")
        assert {k: code(r["default"])[0] for k, r in rows.items()} == {
            f.name: str(f.default) for f in dataclasses.fields(cls)
        }


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(1, 3, 3), nn.Linear(3, 4)

    def forward(self, x):
        return self.b(self.a(x).relu().mean((2, 3)))


S, D, P, G = 6, 1, 9, 16  # samples; one baseline (the fill); 3 × 3 windows; 4 × 4 blocks
GIVEN = {
    "integrated_gradients": {"n_steps": 24}, "expected_gradients": {"n_steps": 24}, "smoothgrad": {"samples": S},
    "vargrad": {"samples": S}, "gradient_shap": {"samples": S},
    "occlusion": {"window": 8, "stride": 4}, "feature_ablation": {"side": 4},
    "hierarchical_occlusion": {"levels": [(8, 4), (4, 4)], "min_window": 4, "threshold": 0, "budget": None},
    "kernel_shap": {"samples": S, "force": True}, "lime": {"samples": S, "force": True},
    "sampled_gradients": {"samples": S}, "rise": {"samples": S, "force": True},
    "partition_shap": {"evaluations": 2 + 2 * 24, "force": True},
}  # fmt: skip


@pytest.mark.parametrize("targets", [1, 3])
def test_passes_are_as_the_table_says(targets):
    predictor = pc.Predictor(Small().eval(), inputs=["x"], task="classification", classes=list("abcd"))
    case = pc.Case(id="1", inputs={"x": torch.rand(1, 16, 16)})
    net = build_network("fusion_transformer", {"second": "image", "classes": 4}).eval()
    attentive = pc.Predictor(net, inputs=["x", "y"], task="classification", classes=list("abcd"))
    pair = pc.Case(id="1", inputs={"x": torch.rand(1, 16, 16), "y": torch.rand(1, 16, 16)})
    segments = pc.Predictor(nn.Conv2d(1, 4, 3, padding=1).eval(), inputs=["x"], task="segmentation", classes=list("abcd"))
    known = {"R": 1, "K": 3, "M": 1, "N": 24, "S": S, "D": D, "P": P, "Q": 16, "G": G, "T": targets}
    for name, row in by_name(tables(text_of("docs/reference-methods.md"))[0]).items():
        said = row["passes"].split(";")[0]
        forwards = _value(re.search(r"^(.*?) F\b", said).group(1), known)
        found = re.search(r"F, (.*?) B\b", said)
        backwards = _value(found.group(1), known) if found else 0
        method = as_explainer(name, GIVEN.get(name, {}))
        model, shown = (attentive, pair) if "attention" in method.needs else (predictor, case)
        asked = list("abcd")[:targets]
        if model.task not in method.tasks:
            model, asked = segments, [pc.RegionScore(k, region="image") for k in asked]
        maps = pc.explain_many(model, [shown], methods=[method], targets=asked)
        for a in maps:
            assert (a.cost.forwards, a.cost.backwards) == (forwards, backwards), name


def _value(text, known):
    """``"2 + N"``, ``"N · T"`` or ``"T"`` in numbers."""
    return sum(
        math.prod(known[part.strip()] if part.strip() in known else int(part) for part in term.split("·"))
        for term in text.split("+")
    )


def test_fills_are_those_that_exist():
    assert tuple(by_name(tables(section("docs/reference-methods.md", "Fills"))[0], "kind")) == KINDS


def test_metrics_have_a_row_each_with_question_direction_range_and_source():
    page = "docs/reference-metrics.md"
    assert re.findall(r"^### (.*)$", section(page, "The metrics"), flags=re.M) == [q.capitalize() for q in QUESTIONS]
    rows = {}
    for question in QUESTIONS:
        (table,) = tables(section(page, question.capitalize()))
        found = by_name(table)
        assert not set(found) & set(rows), f"in two tables: {set(found) & set(rows)}"
        rows |= {name: {**row, "question": question} for name, row in found.items()}
    assert set(rows) == set(METRICS)
    assert len(tables(section(page, "The metrics"))) == len(QUESTIONS)
    for name, row in rows.items():
        metric = METRICS[name]
        assert row["question"] == metric.question, name
        assert row["direction"] == metric.direction, name
        assert code(row["source"]) == [metric.source], name
        low, high = row["range"].split(";")[0].split(" to ")
        assert (_number(low), _number(high)) == (metric.low, metric.high), name
        assert all(row.values()), f"{name}: an empty cell"


def test_where_to_begin_names_metrics_that_exist():
    named = code(section("docs/reference-metrics.md", "Where to begin"))
    assert set(named) - {"random", "edge"} <= set(METRICS)
    assert {METRICS[n].question for n in named if n in METRICS} >= {"faithfulness", "plausibility", "stability", "sanity", "cost"}


def _number(text):
    return float(text.strip().replace("−", "-").replace("∞", "inf"))


def test_verdicts_and_thresholds_are_those_of_the_code():
    page = "docs/explanation-verdicts.md"
    a = pc.explain(
        pc.Predictor(Small().eval(), inputs=["x"], task="classification", classes=list("abcd")),
        pc.Case(id="1", inputs={"x": torch.rand(1, 16, 16)}),
        method="saliency",
    )
    assert set(by_name(tables(text_of(page))[0], "verdict")) == set(a.checks) | {"inside"}
    assert set(pc.segx(a, torch.eye(16) > 0).checks) == set(a.checks) | {"inside"}
    (said,) = re.findall(r"for methods that promise additivity only \((.*?)\); (.*?) keeps", text_of(page).replace("\n", " "))
    for names, promise in zip(said, ("exact", "expected")):
        assert set(code(names)) == {n for n, c in EXPLAINERS.items() if c.complete == promise}
    documented = {k: code(r["default"])[0] for k, r in by_name(tables(section(page, "Thresholds"))[0], "threshold").items()}
    assert documented == {f.name: str(f.default) for f in dataclasses.fields(Thresholds)}


def test_what_the_page_on_writing_a_metric_offers_is_there():
    page = "docs/howto-write-a-metric.md"
    text = section(page, "What `score` gets and gives")
    for cls, found in ((Evidence, r"view\.evidence\.(\w+)"), (View, r"view\.(\w+)")):
        named = set(re.findall(found, text))
        assert len(named) > 8
        assert {n for n in named if not hasattr(cls, n) and n not in inspect.signature(cls).parameters} == set()
    rows = by_name(tables(section(page, "What the class says"))[0], "attribute")
    attributes = {name for row in tables(section(page, "What the class says"))[0] for name in code(row["attribute"])}
    assert attributes | {"name"} == {n for n, kind in Metric.__annotations__.items() if "ClassVar" in str(kind)}
    assert set(code(rows["needs"]["meaning"])) == set(NEEDS)
    assert all(q in rows["question"]["meaning"] for q in QUESTIONS)
    for file in re.findall(r"`(\w+\.py)`", text):
        assert (ROOT / "src/pellucid/evaluate/shared" / file).is_file(), file


def test_the_rule_of_the_report_is_on_the_page_of_verdicts():
    page, title = "docs/explanation-verdicts.md", "What the report makes of them"
    by_word = {row["word"]: row["when"] for row in tables(section(page, title))[0]}
    assert set(by_word) == set(judge.ORDER) - {"control"}
    assert set(code(section(page, title))) == {*judge.DECIDING, "better"}
    assert f"{100 * (1 - judge.FEW_FAIL):.0f} % of the maps" in by_word["trust"]
    assert f"over {judge.FEWEST} cases or more" in by_word["trust"]
    assert f"{100 * judge.MOST_FAIL:.0f} % of the cases" in by_word["do not rely on"]
    assert f"over {judge.FEW} cases or more" in by_word["do not rely on"]


def test_the_predictor_page_names_every_field():
    rows = by_name(tables(text_of("docs/howto-own-model.md"))[0], "field of `Predictor`")
    assert list(rows) == list(inspect.signature(pc.Predictor).parameters)


PARTS = {
    "The recipe": recipes.Recipe, "A task": recipes.Work, "`data`": recipes.Data, "`model`": recipes.Model, "`eda`": recipes.Eda,
    "`train`": recipes.Train, "`search`": recipes.Search, "`segment`": recipes.Segment, "`explain`": recipes.Explain,
    "A background of training cases": recipes.Usual, "`evaluate`": recipes.Evaluate, "`aggregate`": recipes.Aggregate,
    "`experiment`": recipes.Experiment,
}  # fmt: skip


@pytest.mark.parametrize("title", PARTS)
def test_recipe_keys_are_those_of_the_models_with_their_defaults(title):
    rows = by_name(tables(section("docs/howto-recipe.md", title))[0], "key")
    fields = PARTS[title].model_fields
    assert list(rows) == list(fields)
    for key, row in rows.items():
        field = fields[key]
        default = field.get_default(call_default_factory=True)
        said = row["default"]
        if field.is_required():
            assert default is PydanticUndefined
            assert said == "needed", key
        elif default is None:
            assert said == "none", key
        elif isinstance(default, recipes.Part):  # a section with the defaults of its own table
            assert said == "`{}`", key
            assert default == type(default)()
        else:
            assert code(said)[0] in (str(default), repr(default), f'"{default}"'), key


def test_words_in_the_cells_are_those_that_the_code_knows():
    def words(title, key):
        cell = by_name(tables(section("docs/howto-recipe.md", title))[0], "key")[key]["meaning"]
        return {w for w in code(cell) if w.isidentifier()}

    assert words("`train`", "augment") == set(AUGMENTATIONS)
    described = by_name(tables(section("docs/howto-recipe.md", "Augmentation"))[0], "name")
    assert set(described) == set(AUGMENTATIONS)
    assert words("`train`", "loss") == {name for names in BY_TASK.values() for name in names}
    assert words("`data`", "zones") == {*ZONES, LUNG_ZONES}
    assert words("`evaluate`", "thresholds") == set(Thresholds.__dataclass_fields__)


def test_the_recipe_on_the_page_is_a_recipe():
    import yaml

    (text,) = blocks("docs/howto-recipe.md", "yaml")
    recipe = load_recipe(yaml.safe_load(text))
    for work in recipe.tasks:
        for method in work.explain.methods:
            as_explainer(method)
        for metric in work.evaluate.metrics:
            as_metric(metric)
        assert work.evaluate.limits() != Thresholds()
        assert work.data.dataset in pc.datasets().index
        assert work.model.network in pc.networks().index


def test_the_run_folder_page_names_every_table():
    rows = by_name(tables(section("docs/reference-run-folder.md", "Tables"))[0], "table")
    assert {name.removesuffix(".parquet") for name in rows} == set(TABLES)


def test_every_command_and_option_is_on_the_page_and_no_other():
    page = "docs/reference-command-line.md"
    commands = typer.main.get_command(app).commands
    titles = re.findall(r"^### (.*)$", section(page, "Commands"), flags=re.M)
    assert titles == list(commands)
    for name, command in commands.items():
        options = {p.opts[0]: p for p in command.params if p.param_type_name == "option"}
        found = tables(section(page, name))
        rows = by_name(found[0], "option") if found else {}
        assert list(rows) == list(options), name
        for option, row in rows.items():
            p = options[option]
            if p.required:
                assert row["default"] == "needed", (name, option)
            elif p.default is False:
                assert row["default"] == "off", (name, option)
            elif p.default is None:
                assert row["default"] in ("none", "all", "`runs/NAME`"), (name, option)
            else:
                assert code(row["default"]) == [str(p.default)], (name, option)


def test_exit_statuses_are_those_of_the_errors():
    statuses = set(by_name(tables(section("docs/reference-command-line.md", "Exit status"))[0], "status"))
    raised = {str(e.exit_status) for e in (pc.UsageError, pc.InputError, pc.ModelError, pc.PellucidError)}
    assert raised <= statuses
    assert statuses == {"0", "1", "2", "3", "130"}


def test_networks_have_a_row_each_and_their_options_stand_with_the_defaults():
    from pellucid.nets import NETWORKS
    from pellucid.nets.pretrained import BASE, FILES

    (rows,) = tables(section("docs/reference-networks.md", "Which there are"))
    assert set(by_name(rows)) == set(NETWORKS)
    (rows,) = tables(section("docs/reference-networks.md", "Options"))
    said, names = {}, []
    for row in rows:
        names = code(row["network"]) or names
        for name in names:
            said[name, code(row["option"])[0]] = code(row["default"])[0]
    for name in {n for n, _ in said}:
        real = {k: str(p.default) for k, p in inspect.signature(NETWORKS[name]).parameters.items()}
        assert real == {k: v for (n, k), v in said.items() if n == name}, name
    (rows,) = tables(section("docs/reference-networks.md", "Weights to start from"))
    assert {code(r["network"])[0]: r["file"] for r in rows} == {n: BASE + f for n, f in FILES.items()}
