"""Networks and their weights."""

from pellucid.nets.load import load_module
from pellucid.nets.pretrained import start_from
from pellucid.nets.registry import NETWORKS, build_network, count_inputs
from pellucid.nets.store import load_predictor, read_description, save_predictor
from pellucid.nets.weights import load_weights, save_weights

__all__ = [
    "NETWORKS",
    "build_network",
    "count_inputs",
    "load_module",
    "load_predictor",
    "load_weights",
    "read_description",
    "save_predictor",
    "save_weights",
    "start_from",
]
