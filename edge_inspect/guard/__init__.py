"""Is the line still what the threshold was made for? Scores, light, sharpness and place against the calibration frames. Alarms only.

Nothing here touches a verdict. `drift` watches the scores of accepted parts, `light` the pictures; `watching` is both for a station.
"""

from edge_inspect.guard.light import patch_view, small_view
from edge_inspect.guard.watching import Guard, open_guard

__all__ = ["Guard", "open_guard", "patch_view", "small_view"]
