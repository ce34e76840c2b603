"""Where frames come from: one module per kind of camera, all behind `protocols.Camera`."""
