# SPDX-License-Identifier: Apache-2.0
"""Keras's own classes and functions that compute: layers, optimisers, losses and the like, of Keras 2 and 3.

Those that call, load or import something that the configuration names are not among them.

Source: the public names of Keras 3.15 ``layers``, ``optimizers``, ``losses``, ``metrics``, ``initializers``, ``regularizers``,
``constraints``, ``activations`` and ``dtype_policies``; for Keras 2 the names that were withdrawn since.
"""

from typing import Final

from lifeseal.serialization._words import split

CLASSES: Final = split(
    "AUC AWQDTypePolicy AbsMaxQuantizer Accuracy Activation ActivityRegularization Adadelta Adafactor Adagrad Adam AdamW Adamax "
    "AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D "
    "Add AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D "
    "AvgPool2D AvgPool3D BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional BinaryAccuracy BinaryCrossentropy "
    "BinaryFocalCrossentropy BinaryIoU CTC CategoricalAccuracy CategoricalCrossentropy CategoricalFocalCrossentropy "
    "CategoricalGeneralizedCrossEntropy CategoricalHinge CategoryEncoding CenterCrop Circle Concatenate ConcordanceCorrelation Constant "
    "ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D "
    "ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose CosineDecay "
    "CosineDecayRestarts CosineSimilarity Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM CutMix DTypePolicy DTypePolicyMap Dense "
    "DepthwiseConv1D DepthwiseConv2D Dice Discretization Dot Dropout ELU EinsumDense Embedding Equalization ExponentialDecay F1Score FBetaScore "
    "FalseNegatives FalsePositives Flatten Float8QuantizationConfig FloatDTypePolicy Ftrl Functional GPTQDTypePolicy GRU GRUCell GRUV2 "
    "GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D "
    "GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlorotNormal "
    "GlorotUniform GroupNormalization GroupQueryAttention GroupedQueryAttention HashedCrossing Hashing HeNormal HeUniform Hinge Huber Identity "
    "IdentityInitializer InputLayer Int4DTypePolicy Int4QuantizationConfig Int8QuantizationConfig IntegerLookup InverseTimeDecay IoU "
    "KLDivergence KerasTensor L1 L1L2 L2 LSTM LSTMCell LSTMV2 Lamb LayerNormalization LayerScale LeakyReLU LecunNormal LecunUniform Lion "
    "LocallyConnected1D LocallyConnected2D LogCosh LogCoshError LossFunctionWrapper LossScaleOptimizer Masking MaxNorm MaxNumBoundingBoxes "
    "MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU "
    "MeanMetricWrapper MeanSquaredError MeanSquaredLogarithmicError MelSpectrogram MinMaxNorm Minimum MixUp Model MultiHeadAttention "
    "MultiOptimizer Multiply Muon Nadam NonNeg Normalization OneHotIoU OneHotMeanIoU Ones OptimizerMap Orthogonal OrthogonalInitializer "
    "OrthogonalRegularizer PReLU PearsonCorrelation Permute PiecewiseConstantDecay Pipeline Poisson Policy PolicyV1 PolynomialDecay Precision "
    "PrecisionAtRecall QuantizedDTypePolicy QuantizedFloat8DTypePolicy R2Score RMSNormalization RMSprop RNN RandAugment RandomBrightness "
    "RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomFourierFeatures "
    "RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert RandomNormal RandomPerspective RandomPosterization RandomRotation "
    "RandomSaturation RandomSharpness RandomShear RandomTranslation RandomUniform RandomWidth RandomZoom ReLU Recall RecallAtPrecision "
    "RepeatVector Rescaling Reshape Resizing ReversibleEmbedding RootMeanSquaredError SGD STFT STFTInitializer STFTSpectrogram "
    "ScheduleFreeAdamW SeedGenerator SensitivityAtSpecificity SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D "
    "Sequential SimpleRNN SimpleRNNCell Softmax Solarization SparseCategoricalAccuracy SparseCategoricalCrossentropy "
    "SparseTopKCategoricalAccuracy SpatialDropout1D SpatialDropout2D SpatialDropout3D SpecificityAtSensitivity SpectralNormalization "
    "SquaredHinge StackedRNNCells StringLookup Subtract Sum SumOverBatchSizeMetricWrapper SyncBatchNormalization TextVectorization "
    "ThresholdedReLU TimeDistributed TopKCategoricalAccuracy TrueNegatives TruePositives TruncatedNormal Tversky UnitNorm UnitNormalization "
    "UpSampling1D UpSampling2D UpSampling3D VarianceScaling ZeroPadding1D ZeroPadding2D ZeroPadding3D Zeros"
)
FUNCTIONS: Final = split(
    "BCE Input KLD MAE MAPE MSE MSLE acc accuracy add average bce binary_accuracy binary_crossentropy binary_focal_crossentropy "
    "categorical_accuracy categorical_crossentropy categorical_focal_crossentropy categorical_generalized_cross_entropy categorical_hinge ce "
    "celu circle concatenate concordance_correlation cosine_proximity cosine_similarity crossentropy ctc dice dot elu exponential gelu glu "
    "hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh hinge huber kl_divergence kld kullback_leibler_divergence l1 l1_l2 l2 leaky_relu "
    "leakyrelu linear log_cosh log_sigmoid log_softmax logcosh mae mape maximum mean_absolute_error mean_absolute_percentage_error "
    "mean_squared_error mean_squared_logarithmic_error minimum mish mse msle multiply pearson_correlation poisson relu relu6 selu sigmoid silu "
    "soft_shrink softmax softplus softsign sparse_categorical_accuracy sparse_categorical_crossentropy sparse_plus sparse_sigmoid "
    "sparse_top_k_categorical_accuracy sparsemax squared_hinge squareplus subtract swish tanh tanh_shrink threshold top_k_categorical_accuracy "
    "tversky"
)
