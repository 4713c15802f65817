"""OSIC in its official layout: scans and visits, three targets without a leak, broken series, and wrong layouts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from make_multimodal import make_osic
from pellucid.data import load_dataset
from pellucid.data.lung_function import visits_of
from pellucid.data.osic import MEASURED, PERSON, load_osic
from pellucid.errors import InputError, UsageError

FIRST = "ID00000637202177411956430"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_osic(tmp_path_factory.mktemp("osic") / "data")


def edit(root, change):
    table = pd.read_csv(root / "train.csv", dtype=str, keep_default_na=False)
    change(table).to_csv(root / "train.csv", index=False)


def lines(weeks, fvc):
    return [{"Weeks": w, "FVC": f, "Percent": f / 40} for w, f in zip(weeks, fvc)]


def test_volumes_lie_in_ras_whichever_way_the_slices_were_numbered(root):
    cases = load_dataset("osic", root, size=(8, 8, 4))
    assert [c.id for c in cases] == [c.group for c in cases]
    assert cases.failed == []
    for k, case in enumerate(cases):
        assert case.inputs["ct"].shape == (1, 8, 8, 4)
        assert 0 <= case.inputs["ct"].min() < case.inputs["ct"].max() <= 1
        assert case.geometry.orientation == "RAS"
        assert case.spacing == pytest.approx((37.5, 37.5, (2.5, 5.0)[k % 2] * 2))
        assert case.meta["window"] == (0.0, 1.0)
    bright = [float(c.inputs["ct"].mean()) for c in cases]
    assert bright == sorted(bright, reverse=True)  # less air in smaller lungs: FVC grows from patient to patient


def test_the_window_is_that_of_the_option_and_none_keeps_hu(root):
    hu = load_osic(root, size=None, hu=None, limit=1)[0].inputs["ct"]
    assert hu.min() == -2000
    seen = load_osic(root, size=None, hu=(-1000, 0), limit=1)[0].inputs["ct"]
    assert torch.allclose(seen, (hu.clip(-1000, 0) + 1000) / 1000, atol=1e-6)


def test_planes_are_the_channels_of_an_upright_picture(root):
    volume = load_osic(root, size=None, limit=1)[0].inputs["ct"][0]
    case = load_osic(root, planes=2, size=None, limit=1)[0]
    assert case.inputs["ct"].shape == (2, 16, 16)
    assert case.geometry is None
    assert case.spacing == pytest.approx((18.75, 18.75))
    for channel, at in zip(case.inputs["ct"], (2, 6)):  # the middles of the two halves of eight slices, feet first
        assert torch.allclose(channel, volume[:, :, at].flip(0, 1).T, atol=1e-6)
    assert load_osic(root, planes=1, size=8, limit=1)[0].inputs["ct"].shape == (1, 8, 8)


def test_an_even_grid_in_millimetres(root):
    case = load_osic(root, spacing=20, size=None, limit=1)[0]
    assert case.spacing == pytest.approx((20, 20, 20))
    assert case.inputs["ct"].shape == (1, 15, 15, 1)


def test_targets_are_the_lung_function_at_the_scan_and_its_change(root):
    truths = {t: [c.truth for c in load_osic(root, target=t, size=4, limit=2)] for t in ("fvc", "percent", "slope")}
    # Weeks −4, 4, 12, …: −4 and 4 are as near to the scan, and the later one counts.
    assert truths["fvc"] == pytest.approx([1.992, 2.238])
    assert truths["percent"] == pytest.approx([0.498, 0.5595])
    assert truths["slope"] == pytest.approx([-2, -3])


def test_no_column_is_made_from_the_target(tmp_path, root):
    def seen(target, folder=root):
        case = load_osic(folder, target=target, size=4, limit=1)[0]
        return case.truth, dict(zip(case.meta["features"]["table"], case.inputs["table"].tolist()))

    for target in ("fvc", "percent"):
        assert tuple(seen(target)[1]) == PERSON.names
        assert not {"FVC", "percent"} & set(seen(target)[1])
    assert tuple(seen("slope")[1]) == (*PERSON.names, *MEASURED)
    assert seen("slope")[1]["FVC"] == pytest.approx(1.992)
    assert seen("slope")[1]["percent"] == pytest.approx(0.498)

    # Other values of the lung function at the scan: the slope stays. Other values later on: the columns stay.
    other = make_osic(tmp_path / "o", patients=1)
    edit(other, lambda t: t.assign(FVC=np.where(t.Weeks == "4", "3000", t.FVC), Percent=np.where(t.Weeks == "4", "70", t.Percent)))
    assert seen("slope", other)[0] == pytest.approx(seen("slope")[0])
    assert seen("slope", other)[1] != seen("slope")[1]
    assert seen("fvc", other)[1] == seen("fvc")[1]
    later = make_osic(tmp_path / "l", patients=1)
    edit(later, lambda t: t.assign(FVC=np.where(t.Weeks == "20", "3000", t.FVC)))
    assert seen("slope", later)[0] != pytest.approx(seen("slope")[0], abs=0.1)
    assert seen("slope", later)[1] == seen("slope")[1]


def test_the_slope_is_that_of_least_squares():
    weeks, fvc = [0, 5, 11, 20, 31], [2500.0, 2450.0, 2475.0, 2300.0, 2310.0]
    visits = visits_of(lines(weeks, fvc)[::-1], case="p")
    assert visits.weeks == tuple(weeks)
    w, f = np.array(weeks[1:]), np.array(fvc[1:])
    assert visits.slope == pytest.approx(((w - w.mean()) * (f - f.mean())).sum() / ((w - w.mean()) ** 2).sum())
    assert visits_of(lines(weeks[:3], fvc), case="p").slope is None
    assert visits_of(lines([-9, -2, 3], fvc), case="p").baseline == 1


def test_a_patient_with_few_visits_has_no_slope(tmp_path):
    root = make_osic(tmp_path / "o", patients=2)
    edit(root, lambda t: t[~((t.Patient == FIRST) & (t.Weeks.astype(int) > 12))])
    cases = load_osic(root, target="slope", size=4)
    assert len(cases) == 1
    assert cases.failed[0][0] == FIRST
    assert "1 visits after the one at the scan, and a slope needs 3" in cases.failed[0][1]
    assert len(load_osic(root, size=4)) == 2


def test_several_lines_of_a_week_are_averaged_and_said(tmp_path):
    root = make_osic(tmp_path / "o", patients=1)
    edit(root, lambda t: pd.concat([t, t[t.Weeks == "4"].assign(FVC="2992", Percent="60")]))
    cases = load_osic(root, size=4)
    assert cases[0].truth == pytest.approx(2.492)
    assert cases.cleaning.to_dict("records") == [
        {"case": FIRST, "problem": "duplicate", "detail": "several lines of week 4: their mean is taken", "action": "kept"}
    ]


def test_series_that_cannot_be_read_fail_alone(tmp_path):
    root = make_osic(tmp_path / "o", broken=(1,), placeless=(2,))
    cases = load_osic(root, size=4)
    assert len(cases) == 2
    assert [id[:7] for id, _ in cases.failed] == ["ID00001", "ID00002"]
    assert "does not say where it lies" in cases.failed[1][1]


def test_a_second_start_reads_the_cache_and_other_options_do_not(root, monkeypatch):
    first = [load_osic(root, cache="kept", **o) for o in ({"size": 4}, {"size": 4, "planes": 2})]
    assert len(list((root / "kept").iterdir())) == 8
    monkeypatch.setattr("pellucid.data.ct_volume.read", lambda _: pytest.fail("read again"))
    for cases, options in zip(first, ({"size": 4}, {"size": 4, "planes": 2})):
        again = load_osic(root, cache="kept", target="percent", **options)
        assert all(torch.equal(a.inputs["ct"], b.inputs["ct"]) for a, b in zip(cases, again))
        assert [c.spacing for c in again] == [c.spacing for c in cases]
        assert again[0].truth != cases[0].truth
    with pytest.raises(pytest.fail.Exception, match="read again"):
        load_osic(root, cache="kept", size=5)


def test_absent_scans_are_counted_and_too_many_are_refused(tmp_path):
    root = make_osic(tmp_path / "o", absent=(0,))
    with pytest.raises(InputError, match=rf"1 of the 4 listed scans are not there \(the first: {FIRST}\).*least: 0.75"):
        load_osic(root)
    cases = load_osic(root, size=4, least=0.75)
    assert len(cases) == 3
    assert cases.cleaning[["case", "problem", "action"]].values.tolist() == [[FIRST, "absent", "left out"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="Percent"), r"no column Percent; it has Age, FVC, Patient"),
        (lambda t: t.assign(Sex="Mail"), r"column 'Sex' holds 'Mail'; did you mean 'Male'"),
        (lambda t: t.assign(SmokingStatus="Ex smoker"), r"did you mean 'Ex-smoker'"),
        (lambda t: t.assign(FVC="n/a"), r"column 'FVC' holds 'n/a', which is no number"),
        (lambda t: t.assign(FVC="0"), r"FVC is 0 and Percent .*; both are above 0"),
        (lambda t: t.assign(Patient="../p"), r"'../p', which is no name of a folder"),
        (lambda t: t.assign(Patient="p"), r"none of the 1 patients has a folder in train; OSIC is a table train.csv"),
    ],
)
def test_bad_tables_are_refused(tmp_path, change, message):
    root = make_osic(tmp_path / "o", patients=1, slices=2)
    edit(root, change)
    with pytest.raises(InputError, match=message):
        load_osic(root, size=4)


def test_a_patient_of_whom_nothing_is_known_lacks_the_table(tmp_path):
    root = make_osic(tmp_path / "o", patients=1, slices=2)
    edit(root, lambda t: t.assign(Age="", Sex="", SmokingStatus=""))
    assert load_osic(root, size=4)[0].missing == ("table",)
    assert load_osic(root, size=4, target="slope")[0].missing == ()


def test_wrong_layouts_and_options_are_refused(tmp_path, root):
    assert len(load_osic(root.parent, size=4, limit=2)) == 2  # the folder that holds the folder
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no table \(train.csv\); OSIC is"):
        load_osic(tmp_path / "empty")
    for options, message in (
        ({"target": "FVC"}, "target='FVC'; give one of fvc, percent, slope"),
        ({"planes": 0}, "planes=0; give how many planes"),
        ({"spacing": 2}, "spacing=2 and size are both given; set size: null"),
        ({"spacing": 2, "size": None, "planes": 3}, "spacing=2 and planes"),
        ({"hu": (1, 0)}, "hu=.*; give the lower and the upper end"),
    ):
        with pytest.raises(UsageError, match=message):
            load_osic(root, **options)
