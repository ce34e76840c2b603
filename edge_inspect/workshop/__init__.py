"""Where engines are made: needs onnx, and torch for training. The line never imports it."""
