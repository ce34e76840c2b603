"""The two files people write, `station.yaml` and `recipe.yaml`: what may stand in them and how they are read.

All mistakes of a file are reported at once, each with file, line, key, value and what to write instead.
"""

from edge_inspect.config.mistakes import explained, first_mistake, shortened
from edge_inspect.config.recipe import DecisionRule, FrameSize, Masks, Point, Polygon, Recipe, RegionOfInterest, RegionRule, load_recipe
from edge_inspect.config.station import DEFAULT_RUNTIME, Background, OutputBlock, PluginBlock, Station, load_station

__all__ = [
    "DEFAULT_RUNTIME",
    "Background",
    "DecisionRule",
    "FrameSize",
    "Masks",
    "OutputBlock",
    "PluginBlock",
    "Point",
    "Polygon",
    "Recipe",
    "RegionOfInterest",
    "RegionRule",
    "Station",
    "explained",
    "first_mistake",
    "load_recipe",
    "load_station",
    "shortened",
]
