# SPDX-License-Identifier: Apache-2.0
"""What a file's name says of its format. It never decides a verdict: it only lets a finding say that name and bytes disagree."""

from typing import Final

_TEXTS: Final = "json text python pmml openvino lightgbm xgboost catboost paddle onnx-json onnx-text onnx-textproto tf-graph-text empty"
_TORCH: Final = "torch torch-legacy torchscript torch-tar pickle joblib zip"
_FORMATS: Final = {
    "safetensors": "safetensors",
    "gguf": "gguf",
    "onnx": "onnx",
    "h5": "hdf5",
    "hdf5": "hdf5",
    "keras": "keras hdf5",
    "npy": "npy",
    "npz": "npz zip",
    "pt": _TORCH,
    "pth": _TORCH,
    "pkl": "pickle joblib torch-legacy gzip bz2 xz lzma zlib zfile",
    "pickle": "pickle joblib torch-legacy gzip bz2 xz lzma zlib zfile",
    "joblib": "pickle joblib gzip bz2 xz lzma zlib zfile",
    "tflite": "tflite",
    "pb": "tf-saved-model tf-graph tf-fingerprint keras-metadata onnx",
    "msgpack": "msgpack",
    "skops": "skops",
    "nemo": "tar gzip",
    "tar": "tar torch-tar",
    "zip": "zip torch torchscript npz keras skops mar",
    "mar": "mar zip",
    "png": "png",
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "gif": "gif",
    **dict.fromkeys(("json", "txt", "md", "yaml", "yml", "csv", "py", "xml", "jinja", "html", "toml", "cfg", "ini"), _TEXTS),
}


def disagrees(name: str, found: str) -> str:
    """Return the format that a file's name promises, if it is none that was found; else nothing."""
    suffix = name.rpartition(".")[2].lower() if "." in name.rpartition("/")[2].lstrip(".") else ""
    wanted = _FORMATS.get(suffix, found)
    return "" if found in wanted.split() else suffix
