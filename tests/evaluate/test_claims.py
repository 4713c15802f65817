"""Maps for which each clinical claim is true, false, or chance: the verdict follows. The statistics against twins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import pellucid as pc
from pellucid.core.attribution import Attribution
from pellucid.errors import UsageError
from pellucid.evaluate.cohort.claim_measures import alike, box_measures, focus_measures, nearer_own, outside
from pellucid.evaluate.cohort.claims import Sample, beside, judged, measured_against, share_against, verdict
from pellucid.evaluate.undefined import Undefined
from pellucid.study.analyses.clinical_claims import ClinicalClaims

SIDE = 16
LUNGS = torch.zeros(SIDE, SIDE, dtype=torch.bool)
LUNGS[3:13, 3:13] = True
FINDINGS = ("Mass", "Nodule")


class Folder:
    """As much of a run folder as the analysis asks for."""

    def __init__(self, cases: list[pc.Case], maps: dict[str, list[Attribution]], outcomes: list[dict[str, Any]]) -> None:
        self.held, self.made, self.written = {c.id: c for c in cases}, maps, {}
        data = pd.DataFrame([{"case": c.id, "group": c.group} for c in cases])
        self.tables = {"data": data, "outcomes": pd.DataFrame(outcomes, columns=["case", "target_index", "probability", "threshold", "outcome"])}

    def table(self, name: str, task: str) -> pd.DataFrame:
        return self.tables[name]

    def cases(self, task: str) -> list[str]:
        return list(self.held)

    def case(self, task: str, name: str) -> pc.Case:
        return self.held[name]

    def attributions(self, task: str, name: str) -> list[Attribution]:
        return self.made[name]

    def put_table(self, name: str, task: str, frame: pd.DataFrame) -> None:
        self.written[name] = frame


def claims(folder: Folder, **options: Any) -> pd.DataFrame:
    from contextlib import contextmanager

    @contextmanager
    def progress(what: str, total: int) -> Any:
        yield lambda n: None

    context = SimpleNamespace(run=folder, task="t", recipe=SimpleNamespace(seed=0), progress=progress)
    ClinicalClaims(draws=100, **options).run(context)  # type: ignore[arg-type]
    return folder.written["claims"]


def spot(place: tuple[int, int], size: int = 3, height: float = 1.0) -> torch.Tensor:
    out = torch.full((SIDE, SIDE), 1e-3)
    out[place[0] : place[0] + size, place[1] : place[1] + size] += height
    return out


def world(
    draw: Any, *, n: int = 20, findings: tuple[str, ...] = FINDINGS[:1], outcome: Any = lambda i: "TP", boxes: bool = True,
    probability: Any = lambda i: 0.9, lungs: bool = True, per_patient: int = 1,
) -> Folder:  # fmt: skip
    """``draw(rng, i, k, box)`` is the map of case ``i`` and finding ``k``, whose box begins at ``box``."""
    rng = np.random.default_rng(0)
    cases, maps, rows = [], {}, []
    for i in range(n):
        name, regions = f"c{i}", {"lungs": LUNGS} if lungs else {}
        corners = [tuple(int(v) for v in rng.integers(3, 9, 2)), tuple(int(v) for v in rng.integers(3, 9, 2))]
        if len(findings) > 1:
            corners = [(3 + i % 3, 3), (4, 9)]
        maps[name] = []
        for k, finding in enumerate(findings):
            mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
            a, b = corners[k]
            mask[a : a + 4, b : b + 4] = True
            if boxes:
                regions[finding] = mask
            for method, values in (("m", draw(rng, i, k, corners)), ("random", torch.tensor(rng.random((SIDE, SIDE))).float())):
                maps[name].append(Attribution(
                    maps={"image": values[None].float()}, method=method, case_id=name, score=1.0, signed=False,
                    target={"kind": "class", "index": k, "label": finding},
                ))  # fmt: skip
            rows.append({"case": name, "target_index": k, "probability": probability(i), "threshold": 0.5, "outcome": outcome(i)})
        cases.append(pc.Case(id=name, inputs={"image": torch.zeros(1, SIDE, SIDE)}, regions=regions, group=f"p{i // per_patient}"))
    return Folder(cases, maps, rows)


def one(table: pd.DataFrame, **wanted: Any) -> dict[str, Any]:
    for key, value in {"method": "m", "finding": "Mass", **wanted}.items():
        table = table[table[key] == value]
    (row,) = table.to_dict("records")
    return row


AIMED = world(lambda rng, i, k, box: spot((box[k][0], box[k][1])))
CHANCE = world(lambda rng, i, k, box: torch.tensor(rng.random((SIDE, SIDE))))
AWAY = world(lambda rng, i, k, box: spot((0, 0)), n=100)


@pytest.mark.parametrize(
    ("folder", "hit", "iou", "stated"),
    [(AIMED, "holds", "holds", "holds"), (CHANCE, "not settled", "not settled", "does not hold"),
     (AWAY, "does not hold", "does not hold", "does not hold")],
    ids=["aimed", "chance", "away"],
)  # fmt: skip
def test_agreement_with_boxes(folder: Folder, hit: str, iou: str, stated: str) -> None:
    table = claims(folder, stated=0.8)
    better = "better than a map that knows nothing"
    found = [one(table, claim="boxes", cases="all", statement=better, measure=m) for m in ("hit", "iou")]
    assert [r["verdict"] for r in found] == [hit, iou]
    assert found[0]["against"] == pytest.approx(16 / SIDE**2)  # the box's share of the picture
    assert one(table, claim="boxes", cases="all", statement="at least 80 %", measure="hit")["verdict"] == stated


def test_a_map_that_only_knows_where_findings_usually_lie_does_no_better_than_anothers() -> None:
    middle = world(lambda rng, i, k, box: spot((7, 7), 4), n=40)
    elsewhere = "better than another patient's map of that finding"
    row = one(claims(middle), claim="boxes", cases="all", statement=elsewhere, measure="iou")
    assert row["difference"] == 0
    assert row["verdict"] == "not settled"
    row = one(claims(AIMED), claim="boxes", cases="all", statement=elsewhere, measure="iou")
    assert row["verdict"] == "holds"
    assert row["n"] == 19  # the first has no patient before it


def test_true_positives_are_counted_apart() -> None:
    half = world(lambda rng, i, k, box: spot(box[k] if i % 2 else (0, 0)), outcome=lambda i: "TP" if i % 2 else "FN")
    table = claims(half)
    rows = {c: one(table, claim="boxes", cases=c, statement="at least 87 %", measure="hit") for c in ("all", "TP")}
    assert (rows["all"]["value"], rows["TP"]["value"]) == (0.5, 1.0)
    assert (rows["all"]["n"], rows["TP"]["n"]) == (20, 10)


def test_readers_are_the_ceiling() -> None:
    folder = world(lambda rng, i, k, box: spot(box[k]))
    for i, (name, case) in enumerate(folder.held.items()):
        mine = case.regions["Mass"]
        other = mine if i % 2 else mine.roll(4, 1)
        folder.held[name] = case.replace(regions={**case.regions, "reader_a": mine, "reader_b": other})
    table = claims(folder)
    row = one(table, claim="boxes", method="readers", measure="iou", region="reader_a and reader_b")
    assert row["value"] == pytest.approx(0.5)
    assert one(table, claim="boxes", method="readers", measure="hit", statement="at least 87 %")["value"] == 0.5
    assert set(table[table["claim"] == "boxes"]["region"]) == {"boxes", "reader_a", "reader_b", "reader_a and reader_b"}


def test_readers_are_not_counted_for_a_finding_that_nobody_boxed() -> None:
    folder = world(lambda rng, i, k, box: spot(box[k]), findings=FINDINGS[:2])
    for name, case in folder.held.items():
        mine = case.regions[FINDINGS[0]]
        others = {k: v for k, v in case.regions.items() if k != FINDINGS[1]}
        folder.held[name] = case.replace(regions={**others, "reader_a": mine, "reader_b": mine.roll(2, 1)})
    rows = claims(folder)
    rows = rows[rows["claim"] == "boxes"]
    assert set(rows[rows["method"] == "readers"]["finding"]) <= {"all", FINDINGS[0]}
    assert FINDINGS[1] not in set(rows["finding"])



@pytest.mark.parametrize(
    ("sizes", "verdict"),
    [(lambda i: 12 - i // 2, "holds"), (lambda i: 3 + i // 2, "does not hold"), (lambda i: 3 + i * 7 % 9, "not settled")],
    ids=["surer is narrower", "surer is wider", "neither"],
)
def test_focus_and_confidence(sizes: Any, verdict: str) -> None:
    folder = world(lambda rng, i, k, box: spot((1, 1), sizes(i)), probability=lambda i: 0.55 + 0.02 * i)
    table = claims(folder)
    for measure in ("gini", "effective_share"):
        assert one(table, claim="focus", cases="all", measure=measure)["verdict"] == verdict
    row = one(table, claim="focus", cases="all", measure="gini")
    rho = stats.spearmanr([0.55 + 0.02 * i for i in range(20)], [focus_measures(spot((1, 1), sizes(i)).double())["gini"] for i in range(20)])
    assert row["value"] == pytest.approx(rho.statistic)


@pytest.mark.parametrize(
    ("wrong", "right", "verdict"),
    [((0, 0), (7, 7), "holds"), ((7, 7), (0, 0), "does not hold"), (None, None, "not settled")], ids=["true", "false", "chance"],
)  # fmt: skip
def test_false_positives_and_the_lungs(wrong: Any, right: Any, verdict: str) -> None:
    def draw(rng: Any, i: int, k: int, box: Any) -> torch.Tensor:
        place = right if i % 2 else wrong
        return spot(place, 2 + i // 2 % 3) if place is not None else torch.tensor(rng.random((SIDE, SIDE)))

    table = claims(world(draw, n=24, outcome=lambda i: "TP" if i % 2 else "FP"))
    statement = "false positives look outside the lungs more than true ones"
    row = one(table, claim="outside", statement=statement)
    assert row["verdict"] == verdict
    if wrong is None:
        return
    means = [[outside(draw(None, i, 0, None).double(), LUNGS)["outside"] for i in range(s, 24, 2)] for s in (0, 1)]
    assert row["value"] == pytest.approx(np.mean(means[0]) - np.mean(means[1]))
    assert row["p"] == pytest.approx(stats.mannwhitneyu(*means).pvalue)


@pytest.mark.parametrize(
    ("places", "verdicts"),
    [(lambda box: box, ("holds", "holds")), (lambda box: [(7, 7), (7, 7)], ("does not hold", "not settled")),
     (lambda box: box[::-1], ("holds", "does not hold"))],
    ids=["own places", "one place", "swapped"],
)  # fmt: skip
def test_maps_of_findings_that_occur_together(places: Any, verdicts: tuple[str, str]) -> None:
    folder = world(lambda rng, i, k, box: spot(places(box)[k], 4), findings=FINDINGS)
    table = claims(folder)
    pair = {"claim": "apart", "finding": "Mass + Nodule"}
    statements = ("less than half of their highest tenth is shared", "each is denser in its own finding's box than in the other's")
    assert tuple(one(table, statement=s, **pair)["verdict"] for s in statements) == verdicts
    assert one(table, statement=statements[0], **pair)["control_value"] == pytest.approx(0.1, abs=0.05)


def test_what_is_missing_makes_a_claim_not_testable_and_says_what() -> None:
    bare = world(lambda rng, i, k, box: spot((0, 0)), boxes=False, lungs=False)
    table = claims(bare)
    said = table[table["verdict"] == "not testable"].set_index("claim")["note"]
    assert "no explained case has a box" in said["boxes"]
    assert "no explained case has a mask of the lungs" in said["outside"]
    assert "no picture in which two findings" in said["apart"]
    few = claims(world(lambda rng, i, k, box: spot(box[k]), n=8, per_patient=2))
    row = one(few, claim="boxes", cases="all", statement="at least 87 %", measure="hit")
    assert (row["verdict"], row["note"]) == ("not testable", "4 patients, fewer than 5")
    assert one(few, claim="outside", statement="false positives look outside the lungs more than true ones")["note"].startswith(
        "0 patients with a wrong answer and 4 with a right one"
    )
    zero = claims(world(lambda rng, i, k, box: -spot(box[k])))
    assert "no map with a positive value" in zero[(zero["claim"] == "focus")]["note"].iloc[0] or len(zero[zero["method"] == "random"])


def test_options_that_make_no_sense_are_refused() -> None:
    for options, said in (({"top": 1.0}, "top=1.0"), ({"stated": 87.0}, "stated=87.0"), ({"draws": 3}, "draws=3")):
        with pytest.raises(UsageError, match=said):
            ClinicalClaims(**options)


def test_the_measures_of_one_map() -> None:
    support, box = torch.zeros(4, 4).double(), torch.zeros(4, 4, dtype=torch.bool)
    support[0, 0], support[0, 1], support[2, 2] = 4, 3, 1
    box[0, 1], box[2, 2] = True, True
    found = box_measures(support, box)
    assert (found["hit"], found["iou"], found["iou_half"]) == (0, pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert found["iou_half_chance"] == pytest.approx((4 / 16) / (2 + 2 - 4 / 16))  # 2 pixels of 16, a box of 2
    assert (found["hit_iou_10"], found["hit_iou_25"], found["share"]) == (1, 1, 2 / 16)
    assert outside(support, box) == {"outside": 0.5, "outside_area": 14 / 16}
    assert nearer_own(support, box, ~box & (support == 0)) == 1
    with pytest.raises(Undefined):
        nearer_own(support, box, box)
    same = alike(support, support, top=2 / 16)
    assert (same["shared_top"], same["spearman"], same["distance"]) == (1, pytest.approx(1), 0)
    flat = alike(torch.ones(4, 4).double(), support, top=2 / 16)
    assert flat["shared_top"] == pytest.approx(2 / 16)  # what chance gives
    assert np.isnan(flat["spearman"])


def test_means_and_intervals_equal_a_literal_bootstrap() -> None:
    rng = np.random.default_rng(1)
    owners, values, control = [f"p{i // 3}" for i in range(30)], rng.random(30), rng.random(30)
    sample = Sample(owners, n_boot=50, seed=4)
    means = sample.means(values)
    counts = np.random.default_rng(4).multinomial(10, np.full(10, 0.1), size=50)
    place = np.unique(owners, return_inverse=True)[1]
    literal = [values[np.repeat(np.arange(30), row[place])].mean() for row in counts]
    row = measured_against(sample, means, 0.3)
    assert [row["low"], row["high"]] == pytest.approx(np.quantile(literal, [0.025, 0.975]))
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(values.mean() - 0.3) / np.std(literal, ddof=1), 9))
    gaps = [(values - control)[np.repeat(np.arange(30), row[place])].mean() for row in counts]
    over = beside(means, sample.means(control))
    assert [over["over_control_low"], over["over_control_high"]] == pytest.approx(np.quantile(gaps, [0.025, 0.975]))


def test_shares_have_wilsons_interval_also_where_nothing_hits() -> None:
    sample = Sample([f"p{i}" for i in range(20)], n_boot=10, seed=0)
    for hits in (0, 3, 20):
        row = share_against(sample, np.array([1.0] * hits + [0.0] * (20 - hits)), 0.5)
        wanted = stats.binomtest(hits, 20).proportion_ci(method="wilson")
        assert [row["low"], row["high"]] == pytest.approx([wanted.low, wanted.high])
        assert row["p"] == pytest.approx(stats.binomtest(hits, 20, 0.5).pvalue)  # of one half its two tails are alike


def test_a_patient_with_many_pictures_is_one_patient_also_among_shares() -> None:
    """Patients of whom all maps hit or miss, by chance alone: with the patients as n, 16 of 100 cohorts 'held'."""
    rng, sizes, held = np.random.default_rng(0), np.array([20] + [6] * 3 + [1] * 26), 0
    sample = Sample(np.repeat(np.arange(30), sizes).astype(str), n_boot=1, seed=0)
    for _ in range(300):
        row = share_against(sample, np.repeat((rng.random(30) < 0.16).astype(float), sizes), 0.16)
        held += row["difference_low"] > 0 and row["p"] < 0.05
    assert held <= 12
    assert share_against(sample, np.ones(64), 0.16)["low"] < 0.8  # (Σ m)² / Σ m² = 7.7 patients, not 30


def test_the_rule_of_the_verdicts() -> None:
    plain = {"groups": 9, "difference": 0.2, "difference_low": 0.1, "difference_high": 0.3, "p_holm": 0.01, "direction": "more",
             "method": "m", "control_value": 0.0, "over_control_low": 0.1, "over_control_high": 0.3}  # fmt: skip
    assert verdict(plain) == "holds"
    assert verdict(plain | {"p_holm": 0.06}) == "not settled"
    assert verdict(plain | {"over_control_low": -0.1}) == "not settled"
    assert verdict(plain | {"over_control_low": -0.1}, free=True) == "holds"
    assert verdict(plain | {"direction": "less"}) == "does not hold"
    assert verdict(plain | {"difference_low": -0.1}) == "not settled"
    assert verdict(plain | {"groups": 4}) == "not testable"
    rows = [{"claim": "c", "finding": f, "method": m, "measure": "x", "cases": "all", "statement": "s", "p": 0.02, **plain}
            for f in ("a", "b") for m in ("m", "random")]  # fmt: skip
    table = judged([{**r, "method": m} for r, m in zip(rows, ("m", "random") * 2)])
    assert table["p_holm"].tolist() == [0.04] * 4  # two methods' rows in one family, two controls' in another


def test_intervals_hold_what_they_promise_over_patients() -> None:
    """Patients with three cases each that are alike: the mean is in the interval in about 95 of 100 cohorts."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(150):
        effect = rng.normal(0.5, 0.2, 30)
        values = np.repeat(effect, 3) + rng.normal(0, 0.05, 90)
        sample = Sample(np.repeat(np.arange(30), 3).astype(str), n_boot=200, seed=1)
        row = measured_against(sample, sample.means(values), 0.0)
        inside += row["low"] < 0.5 < row["high"]
    assert 0.87 < inside / 150 <= 1
