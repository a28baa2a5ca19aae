# SPDX-License-Identifier: Apache-2.0
"""The operators of the ONNX standard, and what is known of those that runtimes add.

Source: ONNX 1.23 ``docs/Operators.md``, all versions, with the few that were withdrawn; ONNX Runtime ``docs/ContribOperators.md``.
"""

from typing import Final

from lifeseal.serialization._words import split

_STANDARD: Final = split(
    "Abs Acos Acosh Add Affine AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization Bernoulli BitCast "
    "BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike CausalConvWithState Ceil Celu CenterCropPad Clip Col2Im "
    "Compress Concat ConcatFromSequence Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh Crop CumProd CumSum DFT DeformConv "
    "DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear DynamicSlice Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU "
    "GRUUnit Gather GatherElements GatherND Gelu Gemm GivenTensorFill GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual "
    "GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If ImageDecoder ImageScaler "
    "InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual LinearAttention Log LogSoftmax Loop LpNormalization "
    "LpPool MatMul MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Multinomial Neg "
    "NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot Optional OptionalGetElement OptionalHasElement Or PRelu Pad "
    "ParametricSoftplus Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN RandomNormal RandomNormalLike RandomUniform "
    "RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare RegexFullMatch Relu Reshape Resize ReverseSequence RoiAlign RotaryEmbedding Round STFT Scale ScaledTanh Scan Scatter "
    "ScatterElements ScatterND Selu SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap Shape "
    "Shrink Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze "
    "StringConcat StringNormalizer StringSplit Sub Sum SwiGLU Swish Tan Tanh TensorScatter TfIdfVectorizer ThresholdedRelu Tile TopK Transpose "
    "Trilu Unique Unsqueeze Upsample Where Xor"
)
_OTHERS: Final = frozenset(
    {"ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "ai.onnx.training", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"}
)
_PYTHON: Final = frozenset({"EagerPyFunc", "PyCustomOp", "PyFunc", "PyFuncStateless", "PyOp", "PythonOp", "PythonOpGrad"})
_NATIVE: Final = frozenset({"ATen", "ATenGrad", "ATenOp", "EPContext", "ExternalOp", "OpenVINO_EP", "Snpe", "TritonOp", "TVM"})


def is_python(operator: str) -> bool:
    """Tell whether a runtime calls Python for an operator, in whatever domain it stands."""
    return operator in _PYTHON


def is_own(domain: str, operator: str) -> bool:
    """Tell whether the standard or ONNX Runtime has the operator itself, and it runs nothing that the file brings along."""
    if not domain:
        return operator in _STANDARD
    return domain in _OTHERS and operator not in _NATIVE
