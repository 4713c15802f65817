"""A network together with what its numbers mean."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError, UsageError

NET = nn.Identity()


def make(**options: object) -> Predictor:
    return Predictor(NET, **{"inputs": ["x"], "task": "classification", "classes": ["a", "b", "c"], **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "clasification"}, "unknown task 'clasification'; did you mean 'classification'"),
        ({"classes": None}, "classes: name the classes of a classification"),
        ({"inputs": "image"}, "inputs: give the list of input names in the order of forward"),
        ({"inputs": []}, "inputs: give the list of input names"),
        ({"inputs": ["a", "a"]}, "inputs: a name occurs twice"),
        ({"activation": "softmx"}, "activation 'softmx'; did you mean 'softmax'"),
        ({"thresholds": [0.5]}, "1 thresholds for 3 classes"),
        ({"normalise": {"y": (0, 1)}}, "normalise: the model has no input 'y'; known: x"),
        ({"normalise": {"x": (0, 0)}}, r"normalise\['x'\]: mean and sd have to be finite and sd positive"),
        ({"normalise": {"x": (float("nan"), 1)}}, r"normalise\['x'\]: mean and sd have to be finite"),
    ],
)
def test_what_does_not_make_sense_is_refused(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(**options)


def test_a_model_is_a_module() -> None:
    with pytest.raises(UsageError, match=r"a Predictor takes a torch.nn.Module, not function"):
        Predictor(lambda x: x, inputs=["x"], task="regression")  # type: ignore[arg-type,misc]


def test_activation_follows_the_task_and_the_classes_never_the_input() -> None:
    assert make().activation == "softmax"
    assert make(classes=["disease"]).activation == "sigmoid"
    assert make(task="regression", classes=None).activation == "identity"
    assert make(task="segmentation", classes=["lesion"]).activation == "sigmoid"
    assert make(activation="sigmoid").activation == "sigmoid"


def test_classes_by_name_and_number() -> None:
    p = make(classes=["benign", "malignant", "other"])
    assert p.class_index("malignant") == p.class_index(1) == p.class_index("1") == 1
    for wrong, message in (
        ("malignent", "unknown class 'malignent'; did you mean 'malignant'"), (3, "class 3: the model has 3 classes, numbered from 0"),
        (-1, "class -1"), ("7", "class 7"), (1.5, "class 1.5: give a class by its name or its whole number"), (True, "class True"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            p.class_index(wrong)  # type: ignore[arg-type]


def test_predicted_class_of_exclusive_classes_is_the_arg_max() -> None:
    assert make().predicted_class(torch.tensor([0.1, -5.0, 0.2])) == 2


def test_predicted_class_of_labels_respects_their_thresholds() -> None:
    """The most probable of those above their threshold; the most probable of all if none is."""
    p = make(activation="sigmoid", thresholds=[0.95, 0.5, 0.2])
    logit = lambda *v: torch.logit(torch.tensor(v))  # noqa: E731
    assert p.predicted_class(logit(0.9, 0.6, 0.3)) == 1
    assert p.predicted_class(logit(0.9, 0.4, 0.3)) == 2
    assert p.predicted_class(logit(0.9, 0.4, 0.1)) == 0
    assert make(classes=["disease"]).predicted_class(torch.tensor([-3.0])) == 0


def test_predicted_class_of_a_segmentation_is_the_largest_that_is_not_background() -> None:
    p = make(task="segmentation")
    out = torch.zeros(3, 4, 4)
    out[0] = 1
    assert p.predicted_class(out) == 1
    out[2, :2, :2] = 2
    assert p.predicted_class(out) == 2
    out[1, 2:] = 2
    assert p.predicted_class(out) == 1


def test_one_channel_segmentation() -> None:
    p = make(task="segmentation", classes=["lesion"], thresholds=[0.9])
    out = torch.tensor([[[[2.0, 3.0], [-1.0, 0.0]]]])
    assert p.labels(out)[0].tolist() == [[0, 1], [0, 0]]
    assert p.predicted_class(out[0]) == 0
    assert p.label_of(0) == 1
    assert p.probabilities(out)[0, 0, 1, 1] == 0.5


def test_probabilities() -> None:
    z = torch.tensor([[1.0, 2.0, 3.0]])
    torch.testing.assert_close(make().probabilities(z), z.softmax(1))
    torch.testing.assert_close(make(activation="sigmoid").probabilities(z), z.sigmoid())
    torch.testing.assert_close(make(task="regression", classes=None).probabilities(z), z)


def test_a_case_that_lacks_an_input_is_refused_by_name() -> None:
    p = make(inputs=["ct", "ehr"], features={"ehr": ["age", "bmi"]}, normalise={"ct": ([0, 0], [1, 1])})
    ct, ehr = torch.zeros(2, 4, 4), torch.zeros(2)
    p.check(Case(id="p1", inputs={"ct": ct, "ehr": ehr, "more": ehr}))
    for inputs, message in (
        ({"CT": ct, "ehr": ehr}, "case p1: the model wants input 'ct', the case has 'CT', 'ehr'"),
        ({"ct": ct}, "case p1: the model wants input 'ehr', the case has 'ct'"),
        ({"ct": ct, "ehr": torch.zeros(3)}, r"case p1: table 'ehr' has shape \(3,\), the model wants 2 columns: age, bmi"),
        ({"ct": torch.zeros(3, 4, 4), "ehr": ehr}, "case p1: input 'ct' has 3 channels, the model was given statistics for 2"),
    ):
        with pytest.raises(InputError, match=message):
            p.check(Case(id="p1", inputs=inputs))


def test_reference_and_unit_of_a_table() -> None:
    p = make(inputs=["ehr", "other"], normalise={"ehr": ([50, 1], [10, 2])})
    t = torch.zeros(3, 2)
    assert p.reference("ehr", t).tolist() == [[50, 1]] * 3
    assert p.unit("ehr", t).tolist() == [[10, 2]] * 3
    assert p.reference("other", t).tolist() == [[0, 0]] * 3
    assert p.unit("other", t).tolist() == [[1, 1]] * 3


def test_the_hash_of_the_weights_follows_every_weight_and_buffer() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    p = Predictor(net, inputs=["x"], task="regression")
    seen = {p.weights_hash()}
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.add_(1)
            seen.add(p.weights_hash())
    assert len(seen) == 1 + len(net.state_dict())
    assert all(len(h) == 16 for h in seen)


def test_with_module_changes_a_copy() -> None:
    p = Predictor(nn.Linear(2, 1), inputs=["x"], task="regression")
    before = p.weights_hash()
    other = p.with_module(lambda m: nn.init.zeros_(m.weight) is m.weight and m)
    assert p.weights_hash() == before != other.weights_hash()
    assert other.inputs == p.inputs
