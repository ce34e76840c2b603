"""The two files people write, `station.yaml` and `recipe.yaml`: what may stand in them and how they are read.

All mistakes of a file are reported at once, each with file, line, key, value and what to write instead.
"""

from edge_inspect.config.gate import Bias, Drive, Encoder, Gate, GateOutput, LineName, PartSensor
from edge_inspect.config.mistakes import explained, first_mistake, shortened
from edge_inspect.config.reading import Written, read_written
from edge_inspect.config.recipe import (
    DecisionRule,
    FrameSize,
    Locator,
    Masks,
    PartBackground,
    Point,
    Polygon,
    Recipe,
    Rectangle,
    RegionOfInterest,
    RegionRule,
    Tiles,
    Zone,
    load_recipe,
)
from edge_inspect.config.station import (
    DEFAULT_RUNTIME,
    Audit,
    Background,
    CameraBlock,
    ChallengeRule,
    Isolation,
    Metrics,
    OutputBlock,
    PluginBlock,
    Station,
    WireBlock,
    load_station,
)

__all__ = [
    "DEFAULT_RUNTIME",
    "Audit",
    "Background",
    "Bias",
    "CameraBlock",
    "ChallengeRule",
    "DecisionRule",
    "Drive",
    "Encoder",
    "FrameSize",
    "Gate",
    "GateOutput",
    "Isolation",
    "LineName",
    "Locator",
    "Masks",
    "Metrics",
    "OutputBlock",
    "PartBackground",
    "PartSensor",
    "PluginBlock",
    "Point",
    "Polygon",
    "Recipe",
    "Rectangle",
    "RegionOfInterest",
    "RegionRule",
    "Station",
    "Tiles",
    "WireBlock",
    "Written",
    "Zone",
    "explained",
    "first_mistake",
    "load_recipe",
    "load_station",
    "read_written",
    "shortened",
]
