"""Shapes and literal names. Imports nothing of ours.

Shapes are written with jaxtyping: ``b`` cases, ``t`` targets, ``n`` inputs of one pass, ``c`` channels,
``k`` classes, ``*s`` one, two or three spatial axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from torch import Tensor

Task: TypeAlias = Literal["classification", "regression", "segmentation"]
Activation: TypeAlias = Literal["softmax", "sigmoid", "identity"]
Precision: TypeAlias = Literal["float32", "bf16", "fp16", "float64"]
Direction: TypeAlias = Literal["higher", "lower", "none"]
Status: TypeAlias = Literal["pass", "warn", "fail", "not tested"]
Inputs: TypeAlias = Mapping[str, Tensor]
Maps: TypeAlias = dict[str, Tensor]
