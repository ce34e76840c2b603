"""What is run on the device by hand, without torch and onnx."""
