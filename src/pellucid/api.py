"""The functions of the public face: explain, and judge."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pandas as pd
import torch

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case, check_unique
from pellucid.core.explainer import EXPLAINERS, Explainer
from pellucid.core.metric import METRICS
from pellucid.core.missing import with_missing
from pellucid.core.predictor import Predictor
from pellucid.core.refiner import made_again
from pellucid.core.registry import Registry
from pellucid.core.target import Target, as_target
from pellucid.core.verdict import Thresholds
from pellucid.data.registry import DATASETS
from pellucid.engine.engine import Engine, same_shapes
from pellucid.engine.problem import Problem
from pellucid.errors import InputError, UsageError, nearest
from pellucid.evaluate import verdicts
from pellucid.evaluate.cohort.signatures import Cohort
from pellucid.evaluate.evidence import OPTIONS, Evidence, Explain
from pellucid.evaluate.run import as_metric
from pellucid.explain.make import as_explainer, attributions
from pellucid.nets import NETWORKS

BATCH = 8
CONTROLS = ("random", "edge")
ENGINE_OPTIONS = ("device", "precision", "memory", "chunk", "overlap")


def explain(
    predictor: Predictor,
    case: Case,
    method: str | Explainer = "integrated_gradients",
    target: Any = "predicted",
    *,
    seed: int = 0,
    checks: Literal["cheap", "full"] = "cheap",
    background: Sequence[Case] = (),
    thresholds: Thresholds | None = None,
    device: str = "auto",
    precision: Any = "float32",
    memory: int | None = None,
    chunk: int | None = None,
    overlap: Literal["exact", "sum"] = "exact",
    **options: Any,
) -> Attribution:
    """Explain one case by one method.

    Args:
        predictor: the model and what its numbers mean.
        case: what the model sees.
        method: a registered name (``pc.methods()``) or an Explainer.
        target: a Target, ``"predicted"``, a class index or a class name.
        seed: of everything random in the method.
        checks: ``"cheap"`` verdicts need the map alone; ``"full"`` also re-explains noisy copies and a model with
            random weights (``stable``, ``sane``).
        background: cases that stand for "a usual input" (``expected_gradients``, ``deepshap``, ``gradient_shap``, and
            the fill ``"cohort"``).
        thresholds: of the verdicts.
        device, precision, memory, chunk, overlap: of the :class:`~pellucid.engine.Engine`.
        **options: of the method, such as ``window=16``.

    Raises:
        UsageError: unknown method, option, target or class.
        InputError: the case does not fit the model.
        ModelError: the model fails, or returns what its task does not.

    Example:
        >>> import torch, pellucid as pc
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2)).eval()
        >>> p = pc.Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
        >>> a = pc.explain(p, pc.Case(id="1", inputs={"x": torch.ones(1, 4, 4)}), method="saliency", target="b")
        >>> a.maps["x"].shape
        torch.Size([1, 4, 4])
    """
    engine = Engine(predictor, device=device, precision=precision, memory=memory, chunk=chunk, overlap=overlap)
    found = list(
        explain_iter(
            engine, [case], [as_explainer(method, options)], [target], seed=seed, checks=checks,
            background=background, thresholds=thresholds,
        )
    )  # fmt: skip
    return found[0]


def explain_many(
    predictor: Predictor,
    cases: Sequence[Case],
    *,
    methods: Iterable[Any],
    targets: Iterable[Any] = ("predicted",),
    seed: int = 0,
    checks: Literal["cheap", "full"] = "cheap",
    background: Sequence[Case] = (),
    thresholds: Thresholds | None = None,
    **engine_options: Any,
) -> list[Attribution]:
    """Explain many cases by many methods for many targets, sharing passes.

    Args:
        predictor: the model.
        cases: of any shapes; cases of one shape are run together.
        methods: names, Explainers, or ``{name: {option: value}}``.
        targets: as in :func:`explain`; every case is explained for each.
        seed, checks, background, thresholds: as in :func:`explain`.
        **engine_options: ``device``, ``precision``, ``memory``, ``chunk``, ``overlap``.

    Returns:
        Attributions ordered by case, then method, then target.
    """
    for key in engine_options:
        if key not in ENGINE_OPTIONS:
            raise UsageError(
                f"explain_many has no option {key!r} (options of a method go with it: methods=[{{name: {{…}}}}])"
            )
    check_unique(cases)
    explainers = [as_explainer(m) for m in methods]
    if not explainers:
        raise UsageError("methods: name at least one; pc.methods() lists them")
    order = {case.id: i for i, case in enumerate(cases)}
    found = list(
        explain_iter(
            Engine(predictor, **engine_options), cases, explainers, list(targets), seed=seed, checks=checks,
            background=background, thresholds=thresholds,
        )
    )  # fmt: skip
    return sorted(found, key=lambda a: order[a.case_id])


def explain_iter(
    engine: Engine,
    cases: Sequence[Case],
    explainers: Sequence[Explainer],
    targets: Sequence[Any],
    *,
    seed: int = 0,
    checks: str = "cheap",
    background: Sequence[Case] = (),
    thresholds: Thresholds | None = None,
) -> Iterator[Attribution]:
    """The Attributions of all cases, methods and targets, batch by batch, as they are made."""
    if checks not in ("cheap", "full"):
        raise UsageError(f"checks={checks!r}: choose 'cheap' or 'full'")
    limits = thresholds or Thresholds()
    asked: list[Target] = [as_target(t, engine.predictor) for t in targets]
    for places in same_shapes(cases, engine.predictor.inputs):
        together = BATCH if engine.predictor.windows is None else 1  # the windows of one volume fill a chunk
        for start in range(0, len(places), together):
            batch = [cases[i] for i in places[start : start + together]]
            problem = Problem(engine, batch, asked, seed=seed, background=background)
            made = [attributions(problem, explainer, limits=limits) for explainer in explainers]
            for b, case in enumerate(batch):
                mine = [a for rows in made for a in rows[b]]
                if checks == "full":
                    again = [
                        reexplain(e, target, t, seed=seed, background=background)
                        for e in explainers for t, target in enumerate(asked)
                    ]  # fmt: skip
                    evidence = Evidence(
                        engine, case, mine, problem.objective.bound[b] or [], again, thresholds=limits, seed=seed,
                        controls=controls(asked, seed),
                    )
                    mine = verdicts.full(evidence)
                else:
                    mine = [verdicts.untested(a) for a in mine]
                for a in mine:
                    yield with_missing(a, case, engine.predictor, tables=EXPLAINERS[a.method].tables)


def reexplain(
    explainer: Explainer, target: Target, place: int, *, seed: int, background: Sequence[Case] = ()
) -> Explain:
    """A function ``(engine, cases, bound) → Attributions`` that explains again as before.

    ``bound`` holds the case's bound targets: copies of a case keep its class and its region. ``place`` is the
    target's place among them.
    """

    own, usual = seed, background

    def again(
        engine: Engine, cases: Sequence[Case], bound: Sequence[Any], *, seed: int | None = None,
        background: Sequence[Case] | None = None,
    ) -> list[Attribution]:  # fmt: skip
        problem = Problem(
            engine, cases, [target], seed=own if seed is None else seed,
            background=usual if background is None else background, frozen=[[bound[place]] for _ in cases],
        )  # fmt: skip
        return [row[0] for row in attributions(problem, explainer)]

    return again


def controls(targets: Sequence[Target], seed: int) -> dict[str, Explain]:
    """How the controls' maps are made, by name: what every map has to beat."""
    return {name: reexplain(as_explainer(name), targets[0], 0, seed=seed) for name in CONTROLS}


def evaluate(
    predictor: Predictor,
    case: Case,
    attribution: Attribution | Sequence[Attribution],
    metrics: Sequence[Any] = ("deletion_auc", "insertion_auc"),
    *,
    region: str = "lesion",
    background: Sequence[Case] = (),
    shuffled: Predictor | None = None,
    cohort: Cohort | None = None,
    device: str = "auto",
    precision: Any = "float32",
    memory: int | None = None,
    chunk: int | None = None,
    overlap: Literal["exact", "sum"] = "exact",
    **options: Any,
) -> dict[str, float] | list[dict[str, float]]:
    """Score one map, or several of one case in the same passes.

    Args:
        predictor: the model.
        case: the one that was explained.
        attribution: its map or maps.
        metrics: names (``pc.metrics()``), Metrics, or ``{name: {option: value}}``.
        region: name of the case's region that plausibility metrics compare with; ``"truth"`` for its true mask,
            ``"target"`` for the region that is called as the explained class.
        background: for methods that need one, where a metric re-explains, and for the fill ``"cohort"``.
        shuffled: the same network trained on shuffled labels, for ``label_randomisation``.
        cohort: the coarse maps of all cases, this one's included, for the metrics that look over a cohort (see
            :func:`~pellucid.evaluate.cohort.signatures.signatures`).
        device, precision, memory, chunk, overlap: of the Engine.
        **options: of the shared evidence: ``steps``, ``fill``, ``thresholds``, ``seed``.

    Returns:
        Metric name to value, NaN where it is undefined; ``name[input]`` where there is one per input. A list of
        such where several maps were given.

    Raises:
        UsageError: unknown metric or option.
        InputError: the maps are of another case.
    """
    for key in options:
        if key not in OPTIONS:
            raise UsageError(f"evaluate has no option {key!r}; {nearest(key, OPTIONS)} (a metric's go with its name)")
    maps = [attribution] if isinstance(attribution, Attribution) else list(attribution)
    for a in maps:
        if a.case_id != case.id:
            raise InputError(f"the map is of case {a.case_id}, not of {case.id}")
    engine = Engine(predictor, device=device, precision=precision, memory=memory, chunk=chunk, overlap=overlap)
    evidence = evidence_of(
        engine, case, maps, region=region, background=background, shuffled=shuffled, cohort=cohort, **options
    )
    chosen = [as_metric(m) for m in metrics]
    rows = [{k: s.value for k, s in evidence.view(i).scores(chosen).items()} for i in range(len(maps))]
    return rows[0] if isinstance(attribution, Attribution) else rows


def evidence_of(
    engine: Engine, case: Case, maps: Sequence[Attribution], *, background: Sequence[Case] = (), **options: Any
) -> Evidence:
    """The shared evidence of several maps of one case, their methods and targets taken from their provenance."""
    targets: list[Target] = []
    again: list[Explain] = []
    for place, a in enumerate(maps):
        described = {k: v for k, v in a.target.items() if k not in ("index", "label")}
        target = as_target(described, engine.predictor)
        targets.append(target)
        again.append(_again(a, target, place, background))
    problem = Problem(engine, [case], targets)
    problem.bind()
    return Evidence(
        engine, case, maps, problem.objective.bound[0] or [], again, background=background,
        **{"controls": controls(targets, int(options.get("seed", 0))), **options},
    )


def _again(like: Attribution, target: Target, place: int, background: Sequence[Case]) -> Explain:
    """Explain again by the method that the provenance names, or by all of an ensemble's, and refine as before."""

    def again(engine: Engine, cases: Sequence[Case], bound: Sequence[Any], **more: Any) -> list[Attribution]:
        def explain(a: Attribution) -> list[Attribution]:
            method = a.method if like.refinement is None else str(a.provenance.get("method", a.method))
            if method not in EXPLAINERS:
                raise UsageError(f"{method!r} is not a registered method, so its map cannot be made again")
            explainer = as_explainer(method, a.provenance.get("parameters", {}))
            seed = int(a.provenance.get("seed", 0))
            return reexplain(explainer, target, place, seed=seed, background=background)(engine, cases, bound, **more)

        if len(models := {str(p.get("weights")) for p in _sources(like)}) > 1:
            raise UsageError(f"{like.method!r} is of maps of {len(models)} models, and one alone cannot make it again")
        return made_again(like, explain)

    return again


def _sources(a: Attribution) -> list[Mapping[str, Any]]:
    """The provenance of every map that a map was made from."""
    members = (a.refinement or {}).get("members")
    if members is None:
        before = (a.refinement or {}).get("before")
        return [a.provenance] if before is None else _sources(a.replace(refinement=before))
    return [p for m in members for p in _sources(a.replace(provenance=m["provenance"], refinement=m["refinement"]))]


def methods() -> pd.DataFrame:
    """What is registered, one row per method; the index is the name.

    The columns say what a method runs on and what it takes, from its class: ``2-D``, ``3-D``; ``inputs`` (``any``, or
    ``several`` where it looks at how they meet); ``tables``, whether they get a map; ``tasks``; ``gradients``;
    ``needs``, what the model has to offer beside; ``passes`` of one case (F forwards, B backwards, T targets; other
    letters in the method's docstring); ``resolution`` of the map; ``signed``; ``targeted``, whether the map depends on
    what is explained; ``complete``; ``stochastic``; ``source``, a key of docs/references.bib.
    """
    rows = [
        {
            "name": n, "family": c.family, "2-D": 2 in c.axes, "3-D": 3 in c.axes,
            "inputs": "several" if "several_inputs" in c.needs else "any", "tables": c.tables,
            "tasks": ", ".join(c.tasks), "gradients": "B" in c.passes,
            "needs": ", ".join(x.replace("_", " ") for x in c.needs if x not in ("gradient", "several_inputs")),
            "passes": c.passes, "resolution": c.resolution, "signed": c.signed, "targeted": c.targeted,
            "complete": c.complete, "stochastic": c.stochastic, "source": c.source,
            "summary": (c.__doc__ or "").strip().splitlines()[0],
        }
        for n, c in EXPLAINERS.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).set_index("name")


def layers(
    predictor: Predictor, case: Case | Mapping[str, Sequence[int]], *, device: str = "auto"
) -> pd.DataFrame:
    """The layers that a class activation map can be made on, in the order in which they run.

    Args:
        predictor: the model.
        case: one that it takes, or input name to shape without the batch axis, such as ``{"ct": (1, 64, 64)}``.
        device: to run it on, once.

    Returns:
        One row per layer; the index is its name, as in ``layer=…``. ``kind``, ``channels``, ``grid``; ``inputs`` that
        it depends on; ``around``, those of which evidence also goes around it; ``tokens``, whether its map is cut
        into tokens further on; ``depth``; ``automatic``, the inputs for which it is taken if none is named. Inputs
        without an automatic layer are in ``table.attrs["without"]``, with the reason.

    Raises:
        UsageError: the model takes tables only, or a shape is missing.

    Example:
        >>> import torch, pellucid as pc
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.Flatten()).eval()
        >>> p = pc.Predictor(net, inputs=["x"], task="regression")
        >>> pc.layers(p, {"x": (1, 8, 8)})["automatic"].to_dict()
        {'0': '', '1': 'x'}
    """
    if not isinstance(case, Case):
        case = _of_shapes(predictor, case)
    engine = Engine(predictor, device=device)
    inputs = engine.stack([case])
    images = [k for k, v in inputs.items() if v.ndim > 2]
    if not images:
        raise UsageError(f"{predictor.name} takes tables only: none of its layers has a spatial map")
    automatic: dict[str, list[str]] = {}
    without = {}
    for name in images:
        try:
            automatic.setdefault(engine.layer_for(name, inputs).name, []).append(name)
        except UsageError as error:
            without[name] = str(error)
    rows = [
        {
            "name": x.name, "kind": x.kind, "channels": x.channels, "grid": x.grid,
            "inputs": ", ".join(n for n in predictor.inputs if n in x.inputs),
            "around": ", ".join(n for n in predictor.inputs if n in x.inputs - x.carries),
            "tokens": x.tokens, "depth": x.depth, "automatic": ", ".join(automatic.get(x.name, [])),
        }
        for x in engine.layers(inputs)
    ]  # fmt: skip
    columns = ["name", "kind", "channels", "grid", "inputs", "around", "tokens", "depth", "automatic"]
    table = pd.DataFrame(rows, columns=columns).set_index("name")
    table.attrs["without"] = without
    return table


def _of_shapes(predictor: Predictor, shapes: Mapping[str, Sequence[int]]) -> Case:
    """A case of random numbers."""
    for name in shapes:
        if name not in predictor.inputs:
            raise UsageError(f"shape of {name!r}: the model has no such input; {nearest(name, predictor.inputs)}")
    for name in predictor.inputs:
        if name not in shapes:
            raise UsageError(f"the model wants input {name!r}: give its shape, without the batch axis")
        if not shapes[name] or any(n < 1 for n in shapes[name]):
            raise UsageError(f"shape of {name!r} is {tuple(shapes[name])}: give 1 or more along every axis")
    draw = torch.Generator().manual_seed(0)
    return Case(id="shapes", inputs={k: torch.rand(*shapes[k], generator=draw) for k in predictor.inputs})


def metrics() -> pd.DataFrame:
    """What is registered, one row per metric; the index is the name."""
    rows = [
        {
            "name": n, "question": c.question, "direction": c.direction, "low": c.low, "high": c.high,
            "unit": c.unit, "needs": ", ".join(c.needs) or "the map", "scale_free": c.scale_free, "source": c.source,
            "summary": (c.__doc__ or "").strip().splitlines()[0],
        }
        for n, c in METRICS.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).set_index("name")


def datasets() -> pd.DataFrame:
    """What is registered, one row per data set; the index is the name."""
    return _factories(DATASETS)


def networks() -> pd.DataFrame:
    """What is registered, one row per network; the index is the name."""
    return _factories(NETWORKS)


def _factories(registry: Registry[Any]) -> pd.DataFrame:
    rows = [
        {
            "name": name,
            "summary": (entry.__doc__ or "").strip().splitlines()[0],
            "options": ", ".join(str(p) for p in inspect.signature(entry).parameters),
        }
        for name, entry in registry.items()
    ]
    return pd.DataFrame(rows).set_index("name")


__all__ = ["datasets", "evaluate", "explain", "explain_many", "layers", "methods", "metrics", "networks"]
