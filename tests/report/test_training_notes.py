"""The report's sentences on a training are those of the model that was trained."""

import warnings

import pytest

from pellucid.nets import save_predictor
from pellucid.report.html import build_report
from pellucid.report.training import training_notes
from pellucid.train import fit
from report.run_folder import build
from tiny_networks import SETTINGS, Noisy, cases, registered

ALL = cases(26, "t")
TRAIN, VAL = [c for i, c in enumerate(ALL) if c.truth == 0 or i < 8], cases(6, "v", seed=1)  # 13 and 4
TASK = "classification"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return build(tmp_path_factory.mktemp("run"), TASK)


def said(run, **options):
    with registered(noisy=Noisy), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        got = fit(TRAIN, VAL, **SETTINGS | options)
        folder = run.folder / "model" / TASK
        save_predictor(got.predictor, folder, network="noisy", info={"settings": got.settings})
    run.put_table("history", TASK, got.history.assign(metric=got.metric))
    return training_notes(run, TASK)


def test_a_plain_training_says_its_steps_alone(run):
    assert said(run, epochs=1) == ["Optimiser adam, learning rate 0.01 (cosine), batches of 4."]


def test_what_was_asked_for_is_said(run):
    notes = said(
        run, epochs=2, normalise="none", augment=["flip", {"affine": {"degrees": 15}}], weight_decay=1e-4,
        loss={"focal": {"gamma": 1}}, schedule={"plateau": {"patience": 3}}, freeze=["body.0"],
        balance={"smote": {"neighbours": 2}}, unfreeze={0: "head", 1: "all", "lr_factor": 0.1},
    )  # fmt: skip
    assert notes == [
        "Optimiser adam, learning rate 0.01 (plateau), weight decay 0.0001, batches of 4, focal loss.",
        "Pictures are shown to the network as they are.",
        "Training pictures are changed at random in every epoch (flip; affine: degrees: 15); no others are.",
        "SMOTE adds synthetic rows in front of the network's head in every epoch, between training cases' embeddings: "
        "9 of 'yes' (of 2 neighbours). Validation and test have none.",
        "Trained from the head down: body.6 from the start; body.1 from epoch 2 on, each at 0.1 of the rate of the one "
        "before. Not trained: body.0.",
    ]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"balance": {"smote": {"on": "pixels"}}}, "SMOTE made synthetic training cases between real ones, once: 9 of 'yes' (of 3 neigh"),
        ({"balance": "oversample"}, "Training cases of rare classes are drawn more often (oversample); validation"),
        ({"balance": "class_weights"}, "Rare classes weigh more in the loss (class_weights)."),
        ({"balance": {"smote": {"ratio": 0.3}}}, "SMOTE had nothing to add"),
        ({"freeze": "backbone"}, "Not trained: body.1, body.0."),
        ({"unfreeze": {"every": 2}}, "Trained from the head down: body.6 from the start."),
    ],
)
def test_each_option_has_its_sentence(run, options, sentence):
    assert any(note.startswith(sentence) for note in said(run, epochs=1, **options))


def test_an_early_stop_before_a_turn_and_the_page(run):
    unfreeze = {0: "head", 1: ["body.1"], 7: ["body.0"]}
    notes = said(run, epochs=9, unfreeze=unfreeze, patience=1, delta=9)
    assert notes[-1].endswith("body.1 from epoch 2 on. The training ended before the turn of body.0 came.")
    page = build_report(run.folder).read_text("utf-8")
    assert "The training ended before the turn of body.0 came." in page
    assert "Trained: from epoch 1 on body.6; from epoch 2 on body.1" in page  # the words of the learning curve


def test_nothing_trained_says_nothing(tmp_path):
    assert training_notes(build(tmp_path, TASK, bare=True), TASK) == []
