"""What a run's numbers cannot say. Only the limits that apply are given."""

from __future__ import annotations

from pellucid.report.judge import FEW, question_of
from pellucid.study.store import Run


def limits(run: Run) -> list[str]:
    """Sentences, each because of something in the run."""
    asked = {str(m) for t in run.tasks for m in run.table("comparison", t).get("metric", [])}
    questions = {question_of(m, run.info.get("metrics", {})) for m in asked}
    explained = {t: len(run.cases(t)) for t in run.tasks}
    found = [_few(explained)] if any(explained.values()) else []
    if "plausibility" in questions:
        found.append(
            "Plausibility is not faithfulness. A map that lies on the lesion agrees with what a person expects; "
            "whether the model used that place is what the faithfulness measures ask. A good model may look elsewhere, "
            "and a map may lie on the lesion for the wrong reason."
        )
    if "faithfulness" in questions:
        found.append(
            "Deletion and insertion show the model pictures with holes in them, which it has never seen. Part of the "
            "change in its output answers the hole, not the missing evidence; the choice of the fill matters."
        )
    found += _approximate(run)
    found += _half(run)
    if "sanity" in questions or any("sane" in set(run.table("verdicts", t).get("check", [])) for t in run.tasks):
        found.append(
            "The check with scrambled weights compares the ranks of magnitudes. Methods that multiply by the picture "
            "keep its outlines on any model, and fail it for that reason; a pass does not show that a map is right."
        )
    if any(len(run.table("aggregated", t)) for t in run.tasks):
        found.append(
            "Ranks say which method is before which, not by how much, and only for the measures that were asked for. A "
            "control can be first in stability or complexity: a map that never changes is stable, and says nothing."
        )
    if any(len(run.table("strata", t)) for t in run.tasks):
        found.append(
            "Kinds of cases differ in more than their name: large lesions may be of another site, age or scanner. What "
            "differs between them is no cause, and with so many comparisons some differ by chance."
        )
    if any(len(run.table("detector", t)) for t in run.tasks):
        found.append(
            "How well certainty tells errors was measured on the explained cases alone, with few errors among them; a "
            "threshold chosen here has to be tested on others."
        )
    if any(len(run.table("readers", t)) for t in run.tasks):
        found.append(
            "Readers said what a map tells them, not whether the model used what it marks. A map can persuade and be "
            "wrong: faithfulness is measured apart."
        )
    if any(len(run.table("findings", t)) for t in run.tasks):
        found.append(
            "Evidence outside the patient was looked for in places that recur at the same spot of the picture. A mark "
            "that wanders, or lies on the patient, is not found that way; that nothing was found does not show that "
            "there is none."
        )
    if any("of" in (table := run.table("regions", t)) and table["of"].notna().any() for t in run.tasks):
        found.append(
            "Sums over regions say where a method’s map lies, not what the model needs: no region was hidden. Large "
            "regions hold much of any map, and the share of the volume, by which enrichment divides, changes with the "
            "field of view."
        )
    if any(len(run.table("outliers", t)) for t in run.tasks):
        found.append(
            "Some case is always the least usual one. An outlier may be another scanner, field of view or posture as "
            "well as a fault of the model; it is a case to look at."
        )
    synthetic = [t for t in run.tasks if str(run.recipe(t)["data"]["dataset"]).startswith("synthetic")]
    if synthetic:
        found.append(
            f"The data of {', '.join(synthetic)} are made by a program. The answer is known, which real data never "
            "offer; the pictures are simpler than patients, and nothing here carries over to a clinic."
        )
    if any(not bool(run.recipe(t).get("train")) for t in run.tasks):
        found.append(
            "A model that was given, not trained here: whether it has seen these cases before cannot be known from the "
            "run, so its performance here may be too good."
        )
    failed = run.ledger.rows()
    if (failed["state"] == "failed").any():
        found.append("Some cases failed and are missing from every number; they are listed with their task.")
    found.append(
        "A map shows what moves this model’s output on this picture. It shows no cause in the patient, and it is no "
        "diagnosis."
    )
    return found


def _approximate(run: Run) -> list[str]:
    """What a search through windows took, and what it can miss."""
    found = []
    for task in run.tasks:
        costs = run.table("costs", task)
        if "dense_evaluations" not in costs:
            continue
        for method, own in costs[costs["dense_evaluations"].notna()].groupby("method"):
            asked, dense = (f"{own[k].mean():,.0f}" for k in ("evaluations", "dense_evaluations"))
            name = str(method).replace("_", " ")
            found.append(
                f"{task}: {name} filled {asked} windows a map where dense occlusion would fill "
                f"{dense} (means). It is an approximation: effects that cancel inside a coarse window can be missed."
            )
    return found


def _half(run: Run) -> list[str]:
    """What half precision changed in the one case that was also run in float32."""
    found = []
    for task in run.tasks:
        for row in run.table("precision", task).to_dict("records"):
            text = (
                f"{task}: the model ran in {row['precision']}. On one case, {row['case']}, its output was "
                f"{row['relative_error']:.2g} of its size away from that in float32"
            )
            if row["agreement"] == row["agreement"]:
                segments = run.recipe(task)["model"]["task"] == "segmentation"
                same = f"{100 * row['agreement']:.4g} % of the voxels had" if segments else "the predicted class was"
                other = "the same" if segments or row["agreement"] else "another"
                text += f", and {same} {other}{' label' if segments else ''}"
            found.append(text + "; other cases were not compared.")
    return found


def _few(explained: dict[str, int]) -> str:
    small = ", ".join(f"{t}: {n}" for t, n in explained.items() if n)
    text = f"Cases explained: {small}. The intervals say what this number allows"
    if any(0 < n < FEW for n in explained.values()):
        return text + f"; with fewer than {FEW} cases they are wide and themselves uncertain."
    return text + "; they hold for cases like these, from the same source."
