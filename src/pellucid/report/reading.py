"""How to read the pieces of the page: one or two plain sentences for each that is there."""

from __future__ import annotations

from pellucid.study.store import Run

WORDS = {
    "findings": (
        "What stands out",
        "A place outside the patient that draws the maps of many cases and whose content the model was shown to use. "
        "The cases are named so that a person can look.",
    ),
    "ranking": (
        "Mean ranks",
        "In every patient the methods are ranked, 1 the best, and the ranks are averaged. A bar joins methods that "
        "these patients do not tell apart: their mean ranks differ by less than the critical difference.",
    ),
    "aggregated": (
        "If other measures were chosen",
        "The dot is a method’s place by all measures of the question; the bar is where 90 % of its places lie when up "
        "to half of the measures are left out. A long bar: the choice of measures decides, not the method.",
    ),
    "pareto": (
        "Cost and faithfulness",
        "A method on the line is beaten by none that costs as little. A hollow one is: another is as good for no more "
        "passes.",
    ),
    "agreement": (
        "Do the methods agree?",
        "Rank correlation of what two maps of the same case mark: 1 the same order of places, 0 unrelated, "
        "−1 reversed.",
    ),
    "details": (
        "Layer by layer",
        "How much of a map is left as the weights are made random, one layer after the other. It should fall. The "
        "bands are 95 % intervals over patients.",
    ),
    "strata": (
        "By kind of case",
        "Means within kinds of cases, such as small and large lesions; said to differ where the intervals of two kinds "
        "do not overlap.",
    ),
    "detector": (
        "Does certainty tell errors?",
        "Were the least certain cases set aside, how many errors would be left among the others? The flat dotted line "
        "is a detector that knows nothing; a useful one lies below it.",
    ),
}


MASKED = (
    "The verdict “inside”",
    "A masked map, such as segx(grad_cam), shows of a map what lies in a region and hides the rest. The verdict says "
    "how much of the evidence (of the map’s positive sum) is hidden: a warning from the threshold on, half of it by "
    "default, a failure halfway from there to all of it. Then the masked picture is not what the model used. Beside it "
    "stands how much of the picture the region covers: of a map that knows nothing the rest is hidden. Certainty is "
    "measured on the unmasked map, everything else on the masked one, beside controls that were masked alike.",
)


ENSEMBLE = (
    "Ensembles",
    "An ensemble is one map made of several maps of a case. Its 0 to 1 is a place among its own blocks, no amount of "
    "evidence; what it shows is coarser than its members. It is judged as a method is, beside the plain random map. "
    "That it is better than its members is not given: compare its row with theirs. Votes say how many methods mark a "
    "place, not how likely it is that the place matters.",
)


def reading(run: Run) -> list[tuple[str, str]]:
    """Term and explanation of each piece that this run has."""
    found = [words for table, words in WORDS.items() if len(run.table(table))]
    refined = [next(iter(r), "") if isinstance(r, dict) else r for t in run.tasks for r in run.recipe(t)["refine"]]
    found += [ENSEMBLE] if "ensemble" in refined else []
    return found + ([MASKED] if "inside" in set(run.table("verdicts").get("check", [])) else [])
