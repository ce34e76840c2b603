"""One small file per verb of `edge-inspect`."""
