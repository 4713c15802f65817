"""How a model is run: batches that fit in memory, passes counted, hooks that come off again."""

from pellucid.engine.engine import Engine, Gradients, leaf
from pellucid.engine.game import Game
from pellucid.engine.layers import Layer
from pellucid.engine.problem import Problem
from pellucid.engine.stream import Stream

__all__ = ["Engine", "Game", "Gradients", "Layer", "Problem", "Stream", "leaf"]
