"""A linear model on the pictures' mean and spread must stay well below the limits set for the networks."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pellucid.data.synthetic import make


def coarse(cases) -> np.ndarray:
    """Global mean and standard deviation of each picture."""
    return np.array([[f(c.inputs[k].numpy()) for k in c.images for f in (np.mean, np.std)] for c in cases])


def test_classification():
    cases = make("classification", n=200, size=64)
    x, y = coarse(cases), np.array([c.truth for c in cases])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[:140], y[:140])
    assert model.score(x[140:], y[140:]) < 0.75  # the limit is 0.95


def test_regression():
    cases = make("regression", n=300, size=64)
    x, y = coarse(cases), np.array([c.truth for c in cases])
    model = LinearRegression().fit(x[:200], y[:200])
    rmse = float(np.sqrt(np.mean((model.predict(x[200:]) - y[200:]) ** 2)))
    assert rmse > 0.09  # the limit is 0.06, the scores' own spread 0.16


def test_segmentation():
    """Pixel by pixel, from both brightnesses: no threshold reaches the Dice of 0.85."""
    cases = make("segmentation", n=40, size=96)
    x = np.stack([np.stack([c.inputs[k][0].numpy() for k in c.images], -1).reshape(-1, 2) for c in cases])
    y = np.stack([c.truth.numpy().ravel() for c in cases])
    model = LogisticRegression().fit(x[:20].reshape(-1, 2)[::5], y[:20].ravel()[::5])
    p = model.predict_proba(x[20:].reshape(-1, 2))[:, 1].reshape(20, -1)
    for threshold in np.linspace(0.05, 0.8, 16):
        guess = p > threshold
        dice = 2 * (guess & (y[20:] > 0)).sum(1) / (guess.sum(1) + y[20:].sum(1))
        assert dice.mean() < 0.7


@pytest.mark.parametrize("task", ["classification", "regression", "segmentation"])
def test_made_quickly(task):
    """A guard against a slip of an order of magnitude (about 10 ms a case on one core)."""
    from time import process_time

    make(task, n=1, size=96)
    before = process_time()
    make(task, n=10, size=96)
    assert process_time() - before < 1.5
