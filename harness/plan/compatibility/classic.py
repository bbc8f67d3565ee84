"""The classic GPU delegate of TensorFlow Lite (OpenCL, OpenGL, Metal), as its source states it. Nothing here was tried.

Learned from `tflite/delegates/gpu/common/model_builder.cc` and `tflite/tools/versioning/gpu_compatibility.cc`; both
have to accept an operation. Quantised models allowed, one partition: what benchmark_model does by default.
"""

from __future__ import annotations

from harness.plan.compatibility import checks as c
from harness.plan.compatibility import op_checks as o
from harness.plan.compatibility.profile import CPU_CUSTOM_OPS, OpRule, Profile

_FLOATS = frozenset({"float32", "float16"})
_BOOL = frozenset({"bool"})
_INT32 = frozenset({"int32"})
_BOTH = _FLOATS | {"int8", "uint8"}

_ONE = (c.counts(1, 0, 1),)
_TWO = (c.two_operands, c.distinct_operands, c.ranks_meet, c.readable_constant, c.activation)
_SUM = (c.two_operands, c.old_broadcast, c.readable_constant, c.activation)
_FILTERED = (c.filtered, c.computed_input, c.activation)
_SOLE_READERS = ("CAST", "SELECT", "SELECT_V2")
_CASTS = frozenset(
    {("bool", "float32"), ("bool", "float16"), ("float32", "bool"), ("float16", "bool"), ("float32", "float32")}
    | {("float32", "int32"), ("int32", "float32"), ("int32", "int32")}
)

_unary = OpRule(2, _ONE)
_binary = OpRule(2, _TWO)
_compared = OpRule(2, (*_TWO, c.feeds_one(_SOLE_READERS)), _BOTH, _BOTH | _BOOL)
_reduced = OpRule(None, (c.counts(1, 1, 1), c.input_dtypes(1, _INT32)))
_padded = (c.counts(1, None, 1), c.constant_inputs(1, 2), o.paddings)
_pooled = OpRule(2, (c.counts(1, None, 1), c.activation))
_relu = OpRule(2, _ONE)
_selected = OpRule(1, (c.input_dtypes(0, _FLOATS | _BOOL), o.select_shapes), _BOTH | _BOOL)

_OPS = {
    "ABS": _unary,
    "ADD": OpRule(2, _SUM),
    "ADD_N": OpRule(2, _SUM),
    "AVERAGE_POOL_2D": _pooled,
    "BATCH_MATMUL": OpRule(None, (o.matrix_constant, c.dense(1))),
    "CAST": OpRule(None, (c.counts(1, None, 1), c.casts(_CASTS)), _BOTH | _BOOL | _INT32, _BOTH | _BOOL | _INT32),
    "CONCATENATION": OpRule(2, (c.activation,)),
    "CONV_2D": OpRule(6, _FILTERED),
    "COS": _unary,
    "CUMSUM": OpRule(1, (c.counts(1, 1, 1), c.input_dtypes(0, _FLOATS), c.input_dtypes(1, _INT32), c.same_dtype)),
    "DENSIFY": OpRule(1, (c.counts(0, None, 1),)),
    "DEPTHWISE_CONV_2D": OpRule(6, (c.filtered, o.depthwise_shapes, c.activation)),
    "DEPTH_TO_SPACE": OpRule(None, (c.counts(1, None, 1), c.at_least("blockSize", 2, "its block size"))),
    "DEQUANTIZE": OpRule(3, (c.input_dtypes(0, _BOTH | {"int4"}), c.counts(None, None, 1))),
    "DIV": _binary,
    "ELU": _unary,
    "EQUAL": _compared,
    "EXP": _unary,
    "FLOOR": _unary,
    "FLOOR_DIV": _binary,
    "FLOOR_MOD": _binary,
    "FULLY_CONNECTED": OpRule(9, (o.plain_weights, c.computed_input, o.kept_rank, c.activation)),
    "GATHER": OpRule(1, (c.two_operands, c.input_ranks(1, 1), c.input_dtypes(1, _INT32)), _BOTH | _INT32),
    "GELU": _unary,
    "GREATER": _compared,
    "GREATER_EQUAL": _compared,
    "HARD_SWISH": OpRule(None, (c.counts(1, None, 1),)),
    "LEAKY_RELU": _relu,
    "LESS": _compared,
    "LESS_EQUAL": _compared,
    "LOG": _unary,
    "LOGICAL_AND": OpRule(2, _TWO, _BOTH | _BOOL, _BOTH | _BOOL),
    "LOGISTIC": _unary,
    "LSTM": OpRule(4),
    "MAXIMUM": _binary,
    "MAX_POOL_2D": _pooled,
    "MEAN": _reduced,
    "MINIMUM": _binary,
    "MIRROR_PAD": OpRule(2, (o.reflects, *_padded)),
    "MUL": OpRule(3, _SUM),
    "NEG": _unary,
    "NOT_EQUAL": _compared,
    "ONE_HOT": OpRule(
        1, (c.input_dtypes(0, _INT32), c.single_value(2), c.single_value(3), o.one_hot_axis), _BOTH | _INT32
    ),
    "PACK": OpRule(),
    "PAD": OpRule(2, _padded),
    "PADV2": OpRule(2, _padded),
    "POW": _binary,
    "PRELU": OpRule(1, (o.alpha_fits,)),
    "QUANTIZE": OpRule(2, (c.counts(1, None, 1), o.packs_with_scale)),
    "REDUCE_MAX": _reduced,
    "REDUCE_MIN": _reduced,
    "REDUCE_PROD": _reduced,
    "RELU": _relu,
    "RELU6": _relu,
    "RELU_N1_TO_1": _relu,
    "RESHAPE": OpRule(1, (c.counts(1, None, 1),)),
    "RESIZE_BILINEAR": OpRule(3, (c.counts(1, None, 1), o.one_resize_rule)),
    "RESIZE_NEAREST_NEIGHBOR": OpRule(3, (c.counts(1, None, 1),)),
    "RSQRT": _unary,
    "SELECT": _selected,
    "SELECT_V2": _selected,
    "SIGN": _unary,
    "SIN": _unary,
    "SLICE": OpRule(2, (c.input_ranks(0, 3, 4), c.constant_inputs(1, 2), o.slice_arguments)),
    "SOFTMAX": OpRule(2, (c.counts(1, 0, 1), o.beta_is_one)),
    "SPACE_TO_DEPTH": OpRule(2, (c.counts(1, 0, 1), c.at_least("blockSize", 2, "its block size"))),
    "SPLIT": OpRule(None, (c.constant_inputs(0),)),
    "SPLIT_V": OpRule(None, (c.counts(1, 2, None),)),
    "SQRT": _unary,
    "SQUARE": _unary,
    "SQUARED_DIFFERENCE": _binary,
    "STRIDED_SLICE": OpRule(4, (o.slice_masks, c.input_ranks(0, 3, 4), c.constant_inputs(1, 2, 3), o.slice_parameters)),
    "SUB": _binary,
    "SUM": _reduced,
    "TANH": _unary,
    "TILE": OpRule(None, (c.counts(1, None, 1),)),
    "TRANSPOSE": OpRule(4, (c.counts(1, None, 1), o.permutation)),
    "TRANSPOSE_CONV": OpRule(3, (c.filtered,)),
    "UNPACK": OpRule(),
}

_CUSTOM = {
    "Convolution2DTransposeBias": OpRule(),
    "MaxPoolingWithArgmax2D": OpRule(2, (c.counts(1, None, 2),)),
    "MaxUnpooling2D": OpRule(None, (c.counts(2, None, 1),)),
    "Resampler": OpRule(None, (c.counts(2, None, 1), c.input_ranks(0, 4), c.input_ranks(1, 4))),
}

CLASSIC = Profile(
    name="classic-2.16",
    words="the classic GPU delegate of TensorFlow Lite; not checked here",
    checked=False,
    ops=_OPS,
    custom=_CUSTOM,
    composites=frozenset(),
    inputs=_BOTH,
    outputs=_BOTH,
    most_dimensions=4,
    partitions=1,
    variables=True,
    empty_inputs=True,
    kernels=CPU_CUSTOM_OPS | _CUSTOM.keys(),
)
