"""Functions by name, by what they do with relevance."""

from __future__ import annotations

# Linear and without a constant, or a choice among values: the gradient itself keeps the sum of relevance.
CONSERVING = frozenset(
    {
        "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
        "adaptive_max_pool2d", "adaptive_max_pool3d", "alpha_dropout", "amax", "amin", "as_strided", "atleast_1d",
        "atleast_2d", "atleast_3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "bfloat16", "broadcast_tensors",
        "broadcast_to", "cat", "channel_shuffle", "chunk", "clone", "concat", "concatenate", "constant_pad_nd",
        "contiguous", "copy", "cpu", "cuda", "cumsum", "detach", "diag", "diagonal", "double", "dropout", "dropout1d",
        "dropout2d", "dropout3d", "dstack", "expand", "expand_as", "feature_alpha_dropout", "feature_dropout", "fill",
        "flatten", "flip", "fliplr", "flipud", "float", "fold", "gather", "get", "getitem", "half", "hstack",
        "index_add", "index_copy", "index_select", "interpolate", "masked_fill", "masked_scatter", "masked_select",
        "max", "max_pool1d", "max_pool2d", "max_pool3d", "max_unpool2d", "max_unpool3d", "maximum", "mean", "median",
        "min", "minimum", "moveaxis", "movedim", "msort", "nanmean", "nansum", "narrow", "native_channel_shuffle",
        "neg", "negative", "numpy", "pad", "permute", "pixel_shuffle", "pixel_unshuffle", "positive", "register_hook",
        "repeat", "repeat_interleave", "requires_grad", "reshape", "reshape_as", "retain_grad", "roll", "rot90",
        "scatter", "select", "setitem", "sort", "split", "split_with_sizes", "squeeze", "stack", "sum", "swapaxes",
        "swapdims", "t", "take", "take_along_dim", "tensor_split", "tile", "to", "topk", "transpose", "tril", "triu",
        "type", "type_as", "unbind", "unflatten", "unfold", "unsafe_chunk", "unsafe_split", "unsqueeze", "upsample",
        "upsample_bilinear", "upsample_nearest", "view", "view_as", "vstack", "where", "zero",
    }
)  # fmt: skip
# Of these, the ones that may bring in a constant beside (a class token, a fill value), which keeps its share.
AFFINE = frozenset(
    {
        "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "where", "masked_fill", "masked_scatter",
        "pad", "constant_pad_nd", "index_add", "index_copy", "scatter",
    }
)  # fmt: skip
CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})
PRODUCTS = frozenset({"mul", "multiply", "rmul", "matmul", "rmatmul", "mm", "bmm", "einsum", "mv", "dot"})
SUMS = frozenset({"add", "radd", "sub", "subtract", "rsub"})
QUOTIENTS = frozenset({"div", "divide", "true_divide", "truediv"})
# What these return is a weight or a scale: multiplied with a signal, the signal has all of the relevance.
GATES = frozenset({"softmax", "sigmoid", "expit", "hardsigmoid", "rsqrt", "reciprocal"})
NORMS = frozenset({"layer_norm", "group_norm", "instance_norm", "rms_norm"})
