"""Lower precisions of an exported graph as files of their own: `model.fp16.onnx` and `model.int8.onnx` beside `model.onnx`."""
