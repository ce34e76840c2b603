"""Where engines are made: needs onnx, and torch for training. The line never imports it."""

import edge_inspect.runtimes  # noqa: F401 - before any module here imports onnxruntime: keeps it from reporting to its makers
