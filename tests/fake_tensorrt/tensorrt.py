"""`import fake_tensorrt.tensorrt` gives the fake of the version that the environment names."""

import os
import sys

from fake_tensorrt import load

sys.modules[__name__] = load(os.environ["FAKE_TENSORRT_VERSION"])
