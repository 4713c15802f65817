"""What a map has shown about itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.verdict import Thresholds, Verdict, cheap_checks, completeness_error
from pellucid.errors import UsageError


def checks(
    m: Tensor, *, complete: bool = True, total: float | None = 1.0, expected: float | None = 1.0, flags: tuple[str, ...] = (),
    limits: Thresholds | None = None,
) -> dict[str, Verdict]:  # fmt: skip
    return cheap_checks({"x": m}, complete=complete, total=total, expected=expected, flags=flags, limits=limits or Thresholds())


MAP = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_good_map_passes_all() -> None:
    found = checks(MAP)
    assert {k: v.status for k, v in found.items()} == dict.fromkeys(("finite", "not_empty", "not_flat", "complete"), "pass")
    assert all(v.sentence.endswith(".") for v in found.values())


def test_a_map_with_nan_fails_and_says_how_much() -> None:
    m = MAP.clone()
    m[0, 0, :4] = float("nan")
    m[0, 1, 0] = float("inf")
    found = checks(m)["finite"]
    assert found.status == "fail"
    assert found.value == pytest.approx(59 / 64)
    assert "7.81%" in found.sentence
    nothing = checks(torch.full((2, 2), float("nan")))
    assert (nothing["finite"].status, nothing["not_empty"].status, nothing["not_flat"].status) == ("fail", "fail", "not tested")


def test_an_empty_map_fails_unless_its_region_was_empty() -> None:
    assert checks(torch.zeros(4, 4))["not_empty"].status == "fail"
    assert checks(torch.zeros(4, 4))["not_flat"].status == "not tested"
    found = checks(torch.zeros(4, 4), flags=("empty_target",))
    assert (found["not_empty"].status, found["complete"].status) == ("warn", "not tested")


@pytest.mark.parametrize(("spread", "status"), [(0.0, "warn"), (0.009, "warn"), (0.011, "pass"), (0.3, "pass")])
def test_flat_is_a_spread_under_one_percent_of_the_top(spread: float, status: str) -> None:
    m = torch.ones(2, 50, dtype=torch.float64)
    m[1] = 1 - 2 * spread  # standard deviation = spread
    found = checks(m)["not_flat"]
    assert found.status == status
    assert found.value == pytest.approx(spread, abs=1e-6)
    assert checks(m, limits=Thresholds(flat=0.5))["not_flat"].status == "warn"


def test_one_map_of_several_with_a_shape_is_enough() -> None:
    maps = {"flat": torch.ones(4, 4), "shaped": MAP}
    assert cheap_checks(maps, complete=False, total=None, expected=None, flags=(), limits=Thresholds())["not_flat"].status == "pass"


@pytest.mark.parametrize(
    ("total", "expected", "status"),
    [
        (1.009, 1.0, "pass"), (1.011, 1.0, "fail"), (-1.0, 1.0, "fail"), (-0.995, -1.0, "pass"), (0.3, 0.0, "not tested"),
        (math.nan, 1.0, "fail"), (None, 1.0, "not tested"), (1.0, None, "not tested"),
    ],
)  # fmt: skip
def test_complete_is_an_error_of_one_percent(total: float | None, expected: float | None, status: str) -> None:
    found = checks(MAP, total=total, expected=expected)["complete"]
    assert found.status == status
    if status in ("pass", "fail") and not math.isnan(total):  # type: ignore[arg-type]
        assert found.value == pytest.approx(abs(total - expected) / abs(expected))  # type: ignore[operator]


def test_a_method_that_promises_nothing_is_not_tested() -> None:
    assert checks(MAP, complete=False)["complete"].status == "not tested"


def test_completeness_error() -> None:
    assert completeness_error(1.1, 1.0) == pytest.approx(0.1)
    assert completeness_error(0, 0) == 0
    assert completeness_error(1, 0) == math.inf


def test_a_sampled_failure_is_a_warning() -> None:
    found = checks(MAP, total=2.0)["complete"].as_sampled()
    assert found.status == "warn"
    assert found.sentence == "The map misses the change in output by 100.0%: the method samples; more samples help."
    assert found.as_dict()["value"] == pytest.approx(1.0)


def test_attribution_spatial_sums_channels_and_names_what_it_has() -> None:
    a = Attribution(maps={"x": MAP, "t": torch.ones(3), "y": MAP[0]}, method="m", case_id="1", target={}, score=0.0)
    torch.testing.assert_close(a.spatial("x"), MAP[0])
    assert a.spatial("y").shape == (8, 8)
    assert a.spatial("t").shape == (3,)
    assert (a.images, a.tables) == (("x", "y"), ("t",))
    with pytest.raises(UsageError, match="m made no map for input 'z'; it made: x, t, y"):
        a.spatial("z")
    assert a.replace(flags=("flat",)).flags == ("flat",)
    assert a.flags == ()


def test_channels_of_a_volume_are_not_taken_for_a_slice_axis() -> None:
    volume = Attribution(maps={"x": torch.ones(2, 3, 4, 5), "y": torch.ones(3, 4, 5)}, method="m", case_id="1", target={}, score=0.0, image_axes=3)
    assert volume.spatial("x").shape == volume.spatial("y").shape == (3, 4, 5)
    assert float(volume.spatial("x").max()) == 2
