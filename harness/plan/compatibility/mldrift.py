"""ML Drift, LiteRT's GPU accelerator, as its source states it and as LiteRT 2.3.0's WebGPU accelerator behaves.

Learned from `ml_drift_delegate/tflite/model_builder.cc` and `tflite/tools/versioning/gpu_compatibility.cc` of
google-ai-edge/LiteRT at f67457790c9c, and held against ai-edge-litert 2.3.0. Versions, types and shapes alone; what
the accelerator then makes of a graph (memory, textures, faults) is not in here.
"""

from __future__ import annotations

from harness.plan.compatibility import checks as c
from harness.plan.compatibility import op_checks as o
from harness.plan.compatibility.checks import Check
from harness.plan.compatibility.profile import CPU_CUSTOM_OPS, OpRule, Profile

_FLOATS = frozenset({"float32", "float16"})
_BFLOAT = frozenset({"bfloat16"})
_BOOL = frozenset({"bool"})
_INTS = frozenset({"int8", "int16", "int32"})
_UINTS = frozenset({"uint8", "uint16", "uint32"})
_INT32 = frozenset({"int32"})
_IN = _FLOATS | _BOOL | {"int2", "int4", "int8", "uint8"}
_OUT = _FLOATS | {"int8", "uint8"}
_ANY_IN = _IN | _INTS | _UINTS | _BFLOAT
_ANY_OUT = _OUT | _INTS | _UINTS | _BOOL | _BFLOAT


def _typed(rule: OpRule, inputs: frozenset[str] = _IN, outputs: frozenset[str] = _OUT) -> OpRule:
    return OpRule(rule.version, rule.checks, inputs, outputs)


def _bf16(rule: OpRule) -> OpRule:
    """The same, with bfloat16 as well."""
    return _typed(rule, (rule.inputs or _IN) | _BFLOAT, (rule.outputs or _OUT) | _BFLOAT)


def _ints(rule: OpRule) -> OpRule:
    """The same, with signed integers as well."""
    return _typed(rule, (rule.inputs or _IN) | _INTS, (rule.outputs or _OUT) | _INTS)


def _moves(version: int | None, *checks: Check) -> OpRule:
    """An operation that moves values about, whatever their type."""
    return OpRule(version, checks, _ANY_IN, _ANY_OUT)


_ONE = (c.counts(1, 0, 1),)
_TWO = (c.two_operands, c.distinct_operands, c.ranks_meet, c.readable_constant, c.activation)
_SUM = (c.two_operands, c.ranks_meet, c.readable_constant, c.activation)
_REDUCED = (c.counts(1, 1, 1), c.input_dtypes(1, _INT32))
_POOLED = (c.counts(1, None, 1), c.activation)

_unary = OpRule(2, _ONE)
_binary = OpRule(2, _TWO)
_compared = _typed(OpRule(2, _TWO), _IN | _INTS | _UINTS, _OUT | _BOOL)
_logical = OpRule(2, _TWO, _BOOL | _INTS, _BOOL | _INTS)
_reduced = OpRule(None, _REDUCED)
_padded = (c.counts(1, None, 1), c.constant_inputs(1, 2), c.input_dtypes(1, _INT32), o.paddings)
_filtered = (c.filtered, c.computed_input, c.activation)
_relu = OpRule(2, _ONE)
_resized = OpRule(3, (c.counts(1, None, 1), o.one_resize_rule))
_selected = _moves(1, c.counts(None, None, 1), c.input_dtypes(0, _FLOATS | _BOOL), o.select_shapes)

_OPS = {
    "ABS": _ints(_bf16(OpRule(5, _ONE))),
    "ADD": _ints(_bf16(OpRule(6, _SUM))),
    "ADD_N": OpRule(2, _SUM),
    # int32 inputs are not in the source, but LiteRT 2.3.0 takes them.
    "ARG_MAX": OpRule(None, (c.counts(1, 1, 1), c.input_dtypes(1, _INT32), c.single_value(1)), _IN | _INT32, _INT32),
    "ATAN2": _ints(_bf16(_binary)),
    "AVERAGE_POOL_2D": OpRule(2, _POOLED),
    "BATCH_MATMUL": OpRule(None, (o.matrix_constant, c.dense(1))),
    "BITCAST": _moves(None, c.counts(1, None, 1)),
    "CAST": _moves(None, c.counts(1, 0, 1)),
    "CEIL": _bf16(_unary),
    "CONCATENATION": _moves(6, c.activation),
    "CONV_2D": _bf16(OpRule(6, _filtered)),
    "COS": _ints(_bf16(_unary)),
    "CUMSUM": OpRule(1, (c.counts(1, 1, 1), c.input_dtypes(0, _FLOATS), c.input_dtypes(1, _INT32), c.same_dtype)),
    "DEPTHWISE_CONV_2D": OpRule(6, (c.filtered, o.depthwise_shapes, c.dense(1), c.activation)),
    "DEPTH_TO_SPACE": OpRule(None, (c.counts(1, None, 1), c.at_least("blockSize", 2, "its block size"))),
    "DEQUANTIZE": OpRule(3, (o.unpacked_from,)),
    "DIV": _ints(_bf16(_binary)),
    "DYNAMIC_UPDATE_SLICE": _moves(None, c.input_dtypes(2, _INT32), c.input_ranks(2, 1), o.computed_start),
    "ELU": _unary,
    "EMBEDDING_LOOKUP": _typed(
        OpRule(
            None, (c.input_ranks(0, 1), c.input_dtypes(1, {"int8", "int4", "int2", "float32"}), o.embedding_weights)
        ),
        _IN | _INT32,
    ),
    "EQUAL": _compared,
    "EXP": _bf16(_unary),
    "FLOOR": _bf16(_unary),
    "FLOOR_DIV": _ints(OpRule(3, _TWO)),
    "FLOOR_MOD": _ints(_binary),
    "FULLY_CONNECTED": OpRule(14, (o.plain_weights, c.computed_input, o.kept_rank, o.signed_weights, c.activation)),
    "GATHER": _moves(None, c.two_operands, c.input_ranks(1, 1), c.input_dtypes(1, _INT32), c.same_dtype),
    "GELU": OpRule(3, _ONE),
    "GREATER": _compared,
    "GREATER_EQUAL": _compared,
    "HARD_SWISH": OpRule(None, (c.counts(1, None, 1),)),
    "LEAKY_RELU": _relu,
    "LESS": _compared,
    "LESS_EQUAL": _compared,
    "LOG": _bf16(_unary),
    "LOGICAL_AND": _logical,
    "LOGICAL_NOT": OpRule(2, _ONE, _BOOL | _INTS, _BOOL | _INTS),
    "LOGICAL_OR": _logical,
    "LOGISTIC": _bf16(_unary),
    "MAXIMUM": _ints(_bf16(OpRule(4, _TWO))),
    "MAX_POOL_2D": OpRule(2, _POOLED),
    "MEAN": _reduced,
    "MINIMUM": _ints(_bf16(OpRule(4, _TWO))),
    "MIRROR_PAD": OpRule(5, (o.reflects, *_padded)),
    "MUL": _ints(_bf16(OpRule(8, _SUM))),
    "NEG": _ints(_bf16(_unary)),
    "NOT_EQUAL": _compared,
    "ONE_HOT": _typed(OpRule(1, (c.counts(None, None, 1), o.one_hot_axis)), _IN | _INT32),
    "PACK": _moves(None),
    "PAD": _moves(5, *_padded),
    "PADV2": _moves(5, *_padded, c.dense(2)),
    "POW": _bf16(_binary),
    "PRELU": OpRule(1, (o.alpha_fits,)),
    "QUANTIZE": OpRule(2, (c.counts(1, None, 1), o.packs_with_scale)),
    "REDUCE_ALL": OpRule(None, _REDUCED, _BOOL, _BOOL),
    "REDUCE_ANY": OpRule(None, _REDUCED, _BOOL, _BOOL),
    "REDUCE_MAX": _ints(_reduced),
    "REDUCE_MIN": _ints(_reduced),
    "REDUCE_PROD": _ints(_reduced),
    "RELU": _relu,
    "RELU6": _relu,
    "RELU_N1_TO_1": _relu,
    "RESHAPE": _moves(1, c.counts(1, None, 1)),
    "RESIZE_BILINEAR": _resized,
    "RESIZE_NEAREST_NEIGHBOR": OpRule(3, (c.counts(1, None, 1),)),
    "REVERSE_V2": _moves(None, *_REDUCED),
    "RIGHT_SHIFT": _ints(_binary),
    "ROUND": _bf16(_unary),
    "RSQRT": _bf16(_unary),
    "SELECT": _selected,
    "SELECT_V2": _selected,
    "SIGN": _ints(_bf16(_unary)),
    "SIN": _ints(_bf16(_unary)),
    "SLICE": _moves(8, c.computed_input, c.constant_inputs(1, 2), c.input_dtypes(1, _INT32), o.slice_arguments),
    "SOFTMAX": OpRule(4, (c.counts(1, 0, 1), o.beta_is_one)),
    "SPACE_TO_DEPTH": OpRule(2, (c.counts(1, 0, 1), c.at_least("blockSize", 2, "its block size"))),
    "SPLIT": OpRule(None, (c.constant_inputs(0),)),
    "SPLIT_V": OpRule(None, (c.counts(1, 2, None),)),
    "SQRT": _bf16(_unary),
    "SQUARE": _unary,
    "SQUARED_DIFFERENCE": _binary,
    "STABLEHLO_BROADCAST_IN_DIM": _moves(None, c.counts(1, 1, 1), c.input_ranks(1, 1), c.input_dtypes(1, _INT32)),
    "STABLEHLO_CBRT": _bf16(OpRule(None, (*_ONE, c.same_dtype))),
    "STABLEHLO_CLAMP": _ints(_bf16(OpRule(None, (c.counts(3, 0, 1),)))),
    "STABLEHLO_REMAINDER": _ints(OpRule(None, (c.two_operands,))),
    "STABLEHLO_SHIFT_LEFT": _ints(_binary),
    "STRIDED_SLICE": _moves(2, o.slice_masks, c.constant_inputs(1, 2, 3), o.slice_parameters),
    "SUB": _ints(_bf16(_binary)),
    "SUM": _ints(_reduced),
    "TANH": _bf16(_unary),
    "TILE": _ints(OpRule(None, (c.counts(1, None, 1),))),
    "TOPK_V2": _typed(OpRule(1, (c.counts(1, None, 2), c.single_value(1))), outputs=_OUT | _INT32),
    "TRANSPOSE": _moves(9, c.counts(1, None, 1), o.permutation),
    "TRANSPOSE_CONV": OpRule(3, (c.filtered, c.dense(1))),
    "UNPACK": OpRule(),
}

_CUSTOM = {
    "Convolution2DTransposeBias": OpRule(None, (c.dense(1),)),
    "MaxPoolingWithArgmax2D": OpRule(2, (c.counts(1, None, 2),)),
    "MaxUnpooling2D": OpRule(None, (c.counts(2, None, 1),)),
    "Resampler": OpRule(None, (c.counts(2, None, 1), c.input_ranks(0, 4), c.input_ranks(1, 4))),
    **{
        f"custom_call.{name}": OpRule()
        for name in (
            "GroupNorm",
            "LayerNorm",
            "PixelShuffle",
            "RmsNorm",
            "absolute_positional_embedding",
            "rotary_positional_embedding",
        )
    },
}

MLDRIFT = Profile(
    name="mldrift-litert-2.3",
    words="ML Drift, the GPU accelerator of LiteRT 2.2 and newer",
    checked=True,
    ops=_OPS,
    custom=_CUSTOM,
    composites=frozenset(
        {
            "custom_call.rotary_positional_embedding",
            "odml.group_norm",
            "odml.rms_norm",
            "odml.scaled_dot_product_attention",
        }
    ),
    inputs=_IN,
    outputs=_OUT,
    most_dimensions=4,
    partitions=1,
    variables=False,
    empty_inputs=False,
    kernels=CPU_CUSTOM_OPS | _CUSTOM.keys(),
)
