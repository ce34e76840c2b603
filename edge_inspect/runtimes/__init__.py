"""Opened engines: one module per inference library, all behind `protocols.Runtime`.

Importing this package does one thing, and does it before any of those libraries is imported: it keeps them from
reporting to their makers. Otherwise onnxruntime (from 1.29) and openvino start threads that upload usage data when they
are imported, and leave identifiers in the home folder. Whoever imports one of them elsewhere imports this first.
"""

import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# openvino goes without telemetry where this package is missing; None in sys.modules makes it missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
