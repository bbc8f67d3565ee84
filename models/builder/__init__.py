"""Builds the `.tflite` files of this repository without TensorFlow.

- `graph`: a model file as tensors and operators; works for any operator of the schema.
- `layers`: the common operators with their shape rules.
- `forward`: the same operators in NumPy float64, for calibration.
- `net`: networks with seeded random weights, calibrated layer by layer.
- `mobilenets`, `detectors`, `blaze`: the stand-ins; `ops`: the one-operator models; `catalog`: all of them by name.
"""
