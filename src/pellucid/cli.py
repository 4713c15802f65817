"""The command line: one thin command for each verb.

Results that a machine reads go to standard output (``--json``), everything else to standard error. Exit status: 0 done;
1 done, some cases failed; 2 the call or the recipe is wrong; 3 nothing could be done; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import errno
import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from pellucid.errors import PellucidError, UsageError

app = typer.Typer(
    name="pellucid", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="What a medical imaging model looked at, and whether that picture can be believed.",
)  # fmt: skip
STDERR = Console(stderr=True)
STDOUT = Console()

Out = Annotated[Path, typer.Option("--out", help="The folder to write to.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what is there.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Replace the run that is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]
Best = Annotated[bool, typer.Option("--use-best", help="Train with the settings of the search's best trial.")]
Where = Annotated[str, typer.Option("--runner", help="Where folds are trained: local or ray.")]
Jobs = Annotated[int | None, typer.Option("--jobs", help="Folds at a time; 1, or with ray as many as there are CPUs.")]


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors into one sentence on standard error and an exit status."""

    @functools.wraps(command)
    def inner(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except PellucidError as error:
            STDERR.print(f"[red]error:[/] {_escape(str(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(error.exit_status) from None
        except KeyboardInterrupt:
            STDERR.print("\nstopped; the same command with --resume goes on from here", highlight=False)
            raise typer.Exit(130) from None
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise
            what = f" ({error.filename})" if error.filename else ""
            STDERR.print(f"[red]error:[/] {error.strerror}{what}; free some space or choose another --out")
            raise typer.Exit(3) from None

    return inner


@contextmanager
def goes_on() -> Iterator[None]:
    """Ctrl-C in a command that goes on by itself when it is given again."""
    try:
        yield
    except KeyboardInterrupt:
        STDERR.print("\nstopped; the same command goes on from here", highlight=False)
        raise typer.Exit(130) from None


@app.command()
@guarded
def demo(
    task: Annotated[str, typer.Option(help="all, classification, regression, segmentation or volume")] = "all",
    out: Out = Path("runs/demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Under a minute: shows that everything runs.")] = False,
    full: Annotated[bool, typer.Option("--full", help="The workshop's picture size and epochs.")] = False,
    resume: Resume = False,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train models on data with a known answer, explain them, judge the maps, write a report."""
    from pellucid.study.demo import demo_recipe

    _run(demo_recipe(task, quick=quick, full=full), out, resume, fresh, (), quiet, as_json)


@app.command()
@guarded
def run(
    recipe: Annotated[Path, typer.Argument(help="A YAML file.")],
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; runs/NAME by default.")] = None,
    resume: Resume = False,
    fresh: Fresh = False,
    only: Annotated[list[str] | None, typer.Option("--only", help="A stage; may be given several times.")] = None,
    best: Best = False,
    runner: Where = "local",
    jobs: Jobs = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a recipe: data, eda, train, explain, refine, evaluate, aggregate, analyse, report."""
    _run(recipe, out, resume, fresh, tuple(only or ()), quiet, as_json, best=best, runner=runner, jobs=jobs)


@app.command()
@guarded
def search(
    recipe: Annotated[Path, typer.Argument(help="A YAML file, or a run folder.")],
    trials: Annotated[
        int | None, typer.Option(help="How many, with those that are there; the recipe's number by default.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes, each with its own copy of the cases.")] = 1,
    task: Annotated[str | None, typer.Option(help="One task; by default all that have a search section.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; runs/NAME by default.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Train nothing; show what was found.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search for the settings of a training, on the validation cases; the same command goes on after a stop."""
    from pellucid.report import build_report, write_search_figures
    from pellucid.study.search import refresh, search_recipe
    from pellucid.study.search_show import print_search, search_summary

    source, folder = _source(recipe, out)
    if show:
        done = refresh(source, folder, task=task)
    else:
        quiet = quiet or not sys.stderr.isatty()
        with goes_on():
            done = search_recipe(source, folder, task=task, trials=trials, jobs=jobs, quiet=quiet, console=STDERR)
    figures = write_search_figures(done)
    if (folder / "report.html").is_file():
        build_report(folder)
    found = search_summary(done)
    if as_json:
        print(json.dumps(found, indent=1, allow_nan=False))
    else:
        print_search(done, STDERR)
    for path in figures:
        STDERR.print(f"figure: {path}", highlight=False, soft_wrap=True)
    parts = [part for name, part in found["tasks"].items() if task in (None, name)]
    if not show and any(part["best"] is None for part in parts):
        raise typer.Exit(3)
    if not show and any(t["state"] == "failed" for part in parts for t in part["trials"]):
        raise typer.Exit(1)


@app.command()
@guarded
def experiment(
    recipe: Annotated[Path, typer.Argument(help="A YAML file with an experiment section, or its run folder.")],
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; runs/NAME by default.")] = None,
    fresh: Fresh = False,
    runner: Where = "local",
    jobs: Jobs = None,
    show: Annotated[bool, typer.Option("--show", help="Train nothing; show what was found.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare settings of a training and methods over the same folds; the same command goes on after a stop."""
    from pellucid.report import build_report, write_experiment_figures
    from pellucid.study.experiment import failed_items, nothing_done, refresh_experiment, run_experiment
    from pellucid.study.experiment_show import experiment_summary, print_experiment
    from pellucid.study.runners import make_runner

    source, folder = _source(recipe, out)
    if show:
        done = refresh_experiment(source, folder)
    else:
        quiet = quiet or not sys.stderr.isatty()
        with goes_on():
            done = run_experiment(
                source, folder, runner=make_runner(runner, jobs), fresh=fresh, quiet=quiet, console=STDERR
            )
    figures, page = write_experiment_figures(done), build_report(folder)
    if as_json:
        print(json.dumps(experiment_summary(done), indent=1, allow_nan=False))
    else:
        print_experiment(done, STDERR)
    failed = failed_items(done)
    for item, error in failed:
        STDERR.print(f"[yellow]failed:[/] {_escape(item)}: {_escape(error)}", highlight=False, soft_wrap=True)
    for path in (*figures, page):
        STDERR.print(f"written: {path}", highlight=False, soft_wrap=True)
    if not show and nothing_done(done):
        raise typer.Exit(3)
    if not show and failed:
        raise typer.Exit(1)


@app.command(help="Train (or load) the models of a recipe and measure them.")
@guarded
def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML file, or a run folder.")],
    out: Annotated[Path | None, typer.Option("--out", help="The run folder.")] = None,
    best: Best = False,
    runner: Where = "local",
    jobs: Jobs = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train (or load) the models of a recipe and measure them."""
    source, folder = _source(recipe, out)
    stages = ("train",) if (folder / "run.json").is_file() else ("data", "train")
    _run(source, folder, False, False, stages, quiet, as_json, best=best, runner=runner, jobs=jobs)


def _verb(stage: str, text: str) -> None:
    @app.command(name=stage, help=text)
    @guarded
    def command(
        recipe: Annotated[Path, typer.Argument(help="A YAML file, or a run folder.")],
        out: Annotated[Path | None, typer.Option("--out", help="The run folder.")] = None,
        as_json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        source, folder = _source(recipe, out)
        _run(source, folder, False, False, (stage,), quiet, as_json, compared=stage == "evaluate")


_verb("evaluate", "Judge the maps of a run again, and print how the methods compare.")


@app.command()
@guarded
def aggregate(
    source: Annotated[Path, typer.Argument(help="A run folder, a region table (.parquet, .csv), or a YAML file.")],
    against: Annotated[
        Path | None, typer.Option(help="Another run folder or table: draw what changes from it to this one.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="A column of two values, as sex: draw what changes.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder of the figures; of a YAML file, the run folder.")
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--classes", help="With plots of their own; commas between; all by default.")
    ] = None,
    patient: Annotated[str | None, typer.Option(help="Also draw the bars of one case or patient.")] = None,
    task: Annotated[str | None, typer.Option(help="One task; all by default.")] = None,
    method: Annotated[str | None, typer.Option(help="One method; all by default.")] = None,
    regions: Annotated[str | None, typer.Option(help="The label map: predicted, truth, or another's name.")] = None,
    graph: Annotated[str, typer.Option(help="Arrows: the top sources of each class, or a mass of 0.35.")] = "top",
    system: Annotated[
        list[str] | None, typer.Option("--system", help="CLASS=SYSTEM of the body, for colours; several times.")
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Also write wide.csv, with the columns of Agg²Exp.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Make the region table of the run again first.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw where the evidence of a cohort lies; the region tables are made first where there are none."""
    from pellucid.readers.plan import names_of
    from pellucid.report.cohort_run import draw_cohorts

    if graph not in ("top", "mass"):
        raise UsageError(f"--graph {graph}: there are top and mass")
    pairs = [s.partition("=") for s in system or ()]
    if any(not (name and equals and value) for name, equals, value in pairs):
        raise UsageError("--system takes CLASS=SYSTEM, as in nodule=respiratory")
    recipe = source.suffix.lower() in (".yaml", ".yml")
    folder, status, found = source, 0, {}
    if recipe or (source.is_dir() and (again or not (source / "regions.parquet").is_file())):
        given, folder = _source(source, out if recipe else None)
        try:
            _run(given, folder, False, False, ("aggregate",), quiet, False)
        except typer.Exit as stopped:
            status = stopped.exit_code
        if as_json:
            from pellucid.study.store import Run
            from pellucid.study.summary import summary

            found = summary(Run(folder))
        if not (folder / "regions.parquet").is_file():
            STDERR.print("no region table: the recipe asks for no regions", highlight=False)
            if as_json:
                print(json.dumps(found, indent=1, allow_nan=False))
            raise typer.Exit(status)
    with STDERR.status("cohort", spinner="line") if STDERR.is_terminal and not quiet else nullcontext() as shown:
        drawn = draw_cohorts(
            folder, out=None if recipe else out, against=against, by=by, task=task, method=method, of=regions,
            classes=names_of(classes or ()), patient=patient, rule=graph, wide=wide,  # type: ignore[arg-type]
            systems={name: value for name, _, value in pairs},
            progress=lambda part: shown.update(_escape(part)) if shown is not None else None,
        )  # fmt: skip
    if as_json:
        print(json.dumps(found | drawn.as_dict(), indent=1, allow_nan=False))
    for name, made in drawn.done.items():
        for note in made.notes:
            STDERR.print(f"[yellow]{_escape(name)}:[/] {_escape(note)}", highlight=False, soft_wrap=True)
        STDERR.print(f"cohort: {made.folder} ({len(made.files)} files)", highlight=False, soft_wrap=True)
    for name, why in drawn.failed.items():
        STDERR.print(f"[yellow]failed:[/] {_escape(name)}: {_escape(why)}", highlight=False, soft_wrap=True)
    if status or drawn.failed:
        raise typer.Exit(status or 1)


@app.command()
@guarded
def report(folder: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write the report of a run again."""
    from pellucid.report import build_report

    STDERR.print(f"report: {build_report(folder)}", highlight=False)


@app.command(name="study-form")
@guarded
def study_form(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the forms; in the run by default.")] = None,
    task: Annotated[str | None, typer.Option(help="Needed where the run explains several.")] = None,
    cases: Annotated[int, typer.Option(help="How many, drawn at random.")] = 6,
    methods: Annotated[
        list[str] | None, typer.Option("--methods", help="One, or several separated by commas; all by default.")
    ] = None,
    readers: Annotated[int, typer.Option(help="How many forms, each in an order of its own.")] = 3,
    repeat: Annotated[float, typer.Option(help="Share of the maps that a reader sees twice, 0 to 0.5.")] = 0.15,
    seed: Annotated[int | None, typer.Option(help="Of the draw; fresh by default, and kept in the key.")] = None,
    show_prediction: Annotated[bool, typer.Option("--show-prediction", help="Tell what the model says.")] = False,
    show_truth: Annotated[bool, typer.Option("--show-truth", help="Outline the true region.")] = False,
    as_json: Json = False,
) -> None:
    """Write blinded forms in which readers rate the maps of a run, and the key that stays with you."""
    from pellucid.readers import study_form as write
    from pellucid.readers.plan import names_of

    made = write(
        folder, out=out, task=task, cases=cases, methods=names_of(methods or ()), readers=readers, repeat=repeat,
        seed=seed, show_prediction=show_prediction, show_truth=show_truth,
    )  # fmt: skip
    if as_json:
        print(json.dumps(made.as_dict(), indent=1))
    for path in made.forms:
        STDERR.print(f"form: {path}", highlight=False, soft_wrap=True)
    STDERR.print(f"key: {made.key} (keep it; --fresh removes it with the run)", highlight=False, soft_wrap=True)
    STDERR.print(f"study {made.study}: {made.maps} maps of {made.cases} cases, {made.pages} pages for each reader")


@app.command(name="study-read")
@guarded
def study_read(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder that the forms were made from.")],
    answers: Annotated[list[Path], typer.Argument(help="Files that the forms saved.")],
    key: Annotated[Path | None, typer.Option(help="The key, where it is no longer in the run.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the CSV files; in the run by default.")] = None,
    as_json: Json = False,
) -> None:
    """Read the answers of a study: ratings by method, agreement, what metrics say; the report is written again."""
    from pellucid.readers import study_read as read
    from pellucid.readers.show import print_read

    found = read(folder, answers, key=key, out=out)
    if as_json:
        print(json.dumps(found.as_dict(), indent=1, allow_nan=False))
    else:
        print_read(found, STDERR)
    for path in found.files:
        STDERR.print(f"written: {path}", highlight=False, soft_wrap=True)


@app.command()
@guarded
def synth(
    out: Out,
    n: Annotated[int, typer.Option(help="Cases of each task.")] = 300,
    seed: Annotated[int, typer.Option(help="Of the cases.")] = 42,
    xai_n: Annotated[int, typer.Option(help="Cases to explain, of each task.")] = 30,
    xai_seed: Annotated[int, typer.Option(help="Of the cases to explain.")] = 999,
    size: Annotated[int, typer.Option(help="Pixels along a side.")] = 224,
) -> None:
    """Write the workshop's three data sets, with masks of what was planted."""
    from pellucid.data.synthetic.workshop import write_workshop

    write_workshop(out, n=n, seed=seed, xai_n=xai_n, xai_seed=xai_seed, size=size)
    STDERR.print(f"data: {out}", highlight=False)


@app.command()
@guarded
def explain(
    model: Annotated[str, typer.Option(help="A saved model folder, module:Name or file.py:Name.")],
    inputs: Annotated[list[str], typer.Option("--input", help="[NAME=]FILE, one for each input of the model.")],
    out: Out,
    method: Annotated[str, typer.Option(help="Methods, separated by commas.")] = "integrated_gradients",
    target: Annotated[str, typer.Option(help="predicted, a class index or a class name.")] = "predicted",
    task: Annotated[str | None, typer.Option(help="Where the model does not say: its task.")] = None,
    classes: Annotated[str | None, typer.Option(help="Its classes, separated by commas.")] = None,
    weights: Annotated[Path | None, typer.Option(help="A state dict (.safetensors, .pt).")] = None,
    size: Annotated[int | None, typer.Option(help="Resize pictures to this side.")] = None,
    windows: Annotated[str | None, typer.Option(help="Voxels of a window of a volume, such as 96,96,96.")] = None,
    checks: Annotated[str, typer.Option(help="cheap or full")] = "full",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    as_json: Json = False,
) -> None:
    """Explain one case of your own with a model of your own."""
    from pellucid.study.own import explain_own

    found = explain_own(
        model=model, inputs=inputs, out=out, methods=[m.strip() for m in method.split(",") if m.strip()],
        target=target, task=task, classes=[c.strip() for c in classes.split(",")] if classes else None,
        weights=weights, size=size, windows=windows, checks=checks, device=device, seed=seed, console=STDERR,
    )  # fmt: skip
    if as_json:
        print(json.dumps(found, indent=1))


def _print_table(frame: Any, as_json: bool) -> None:
    if as_json:
        print(frame.reset_index().to_json(orient="records", indent=1))
        return
    columns = [Column(str(c), overflow="fold") for c in (frame.index.name or "name", *frame.columns)]
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for index, row in frame.iterrows():
        table.add_row(str(index), *(_escape(_cell(v)) for v in row))
    console = STDOUT if STDOUT.is_terminal else Console(width=_WIDE)
    console.print(table)


def _cell(value: Any) -> str:
    return {"True": "•", "False": ""}.get(str(value), str(value))


_WIDE = 250  # characters; a file has no right edge
# In the order in which a terminal has room for them; --json and pc.methods() have all columns.
_SHOWN = (
    "family", "2-D", "3-D", "tables", "tasks", "passes", "inputs", "needs", "gradients", "stochastic", "resolution",
    "source",
)  # fmt: skip


def _compatibility(frame: Any, room: int) -> tuple[Any, list[str]]:
    """The table of the methods for a terminal, and the columns that it has no room for.

    Families stand together, tasks are given by their first letters.
    """
    letters = [" ".join(t[0] for t in str(tasks).split(", ")) for tasks in frame["tasks"]]
    short = frame.assign(tasks=letters).sort_values(["family", "name"])
    width, shown = max(map(len, short.index)), []
    for column in _SHOWN:
        width += 2 + max(len(column), *(len(_cell(v)) for v in short[column]))
        if width > room:
            break
        shown.append(column)
    return short[shown], [c for c in _SHOWN if c not in shown]


@app.command()
@guarded
def methods(
    layers: Annotated[
        str | None, typer.Option(help="A model (as for explain): list the layers that a CAM can be made on instead.")
    ] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="With --layers: [NAME=]FILE, one for each input of the model.")
    ] = None,
    shape: Annotated[
        list[str] | None, typer.Option(help="With --layers, in place of files: [NAME=]C,H,W, one for each input.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Where the model does not say: its task.")] = None,
    classes: Annotated[str | None, typer.Option(help="Its classes, separated by commas.")] = None,
    as_json: Json = False,
) -> None:
    """The explanation methods, or the layers of a model."""
    if layers is None:
        if inputs or shape or task or classes:
            raise UsageError("--input, --shape, --task and --classes go with --layers MODEL")
        frame = _public("methods")()
        if as_json:
            _print_table(frame, as_json)
            return
        short, left_out = _compatibility(frame, STDOUT.width if STDOUT.is_terminal else _WIDE)
        _print_table(short, as_json)
        note = "tasks: classification, regression, segmentation; passes of one case: F forwards, B backwards, T targets"
        more = f"; no room for {', '.join(left_out)}: a wider window or --json shows them" if left_out else ""
        STDERR.print(f"\n{note}{more}", highlight=False)
        return
    from pellucid.study.own import own_layers

    found = own_layers(layers, inputs or [], shape or [], task=task, classes=classes.split(",") if classes else None)
    for name, reason in found.attrs["without"].items():
        STDERR.print(f"[yellow]{_escape(name)}:[/] {_escape(reason)}", highlight=False, soft_wrap=True)
    _print_table(found, as_json)


def _list(name: str, text: str, load: Callable[[], Any]) -> None:
    @app.command(name=name, help=text)
    @guarded
    def command(as_json: Json = False) -> None:
        _print_table(load(), as_json)


def _public(name: str) -> Callable[[], Any]:
    def load() -> Any:
        import pellucid

        return getattr(pellucid, name)()

    return load


for _name, _text in (
    ("metrics", "The metrics."), ("datasets", "The data sets."), ("networks", "The networks."),
):  # fmt: skip
    _list(_name, _text, _public(_name))


@app.command()
@guarded
def doctor(as_json: Json = False) -> None:
    """What this machine offers: versions, devices, decoders."""
    from pellucid.study.doctor import examine

    found = examine()
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for key, value in found.items():
        STDOUT.print(f"{key:24} {value}", highlight=False)


def _run(
    recipe: Any, out: Path | None, resume: bool, fresh: bool, only: tuple[str, ...], quiet: bool, as_json: bool,
    compared: bool = False, best: bool = False, runner: str = "local", jobs: int | None = None,
) -> None:  # fmt: skip
    from pellucid.report import build_report
    from pellucid.study.comparison import comparison, print_comparison
    from pellucid.study.recipe import load_recipe
    from pellucid.study.run import failures, run_recipe
    from pellucid.study.runners import make_runner
    from pellucid.study.summary import print_summary, summary

    loaded = recipe if not isinstance(recipe, Path | dict) else load_recipe(recipe)
    folder = out or Path("runs") / loaded.name
    quiet = quiet or not sys.stderr.isatty()
    done = run_recipe(
        recipe, folder, resume=resume, fresh=fresh, only=only, best=best, quiet=quiet, console=STDERR,
        final={"report": lambda r: build_report(r.folder)}, runner=make_runner(runner, jobs),
    )  # fmt: skip
    if as_json:
        found = summary(done)
        for task, tables in comparison(done).items() if compared else ():
            found["tasks"][task] |= tables
        print(json.dumps(found, indent=1, allow_nan=False))
    if compared:
        print_comparison(done, STDERR)
    elif not as_json:
        print_summary(done, STDERR)
    failed = failures(done)
    for task, stage, item, error in failed:
        STDERR.print(f"[yellow]failed:[/] {task}, {stage}, {_escape(item)}: {_escape(error)}", highlight=False)
    page = folder / "report.html"
    if page.is_file():
        STDERR.print(f"\nreport: {page}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _source(recipe: Path, out: Path | None) -> tuple[Any, Path]:
    """A recipe and its run folder, from either of them."""
    if (recipe / "run.json").is_file():
        from pellucid.study.store import Run

        return Run(recipe).info["recipe"], recipe
    if recipe.is_dir():
        raise UsageError(f"{recipe} is no run folder: it has no run.json")
    from pellucid.study.recipe import load_recipe

    return recipe, out or Path("runs") / load_recipe(recipe).name


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def main() -> None:
    """The entry point ``pellucid``."""
    app()


if __name__ == "__main__":
    main()
