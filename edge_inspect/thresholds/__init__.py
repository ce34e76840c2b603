"""What a part is held against: `thresholds.json`, the rules that make it, and its history.

`record` is the file. `order_statistics` and `part_limits` are the rule that `teach`, `export` and `calibrate` share: good parts only, with
a bound that holds whatever the scores look like. `good_rules`, `tail`, `labelled_rules` and `separation` are the others, one source
each; `proposing` is the list of all. `history` keeps who put which thresholds in force, when and why.
"""

from edge_inspect.thresholds.record import RegionLimits, Sample, Thresholds, ZoneLimits, load_thresholds, read_thresholds, save_thresholds

__all__ = ["RegionLimits", "Sample", "Thresholds", "ZoneLimits", "load_thresholds", "read_thresholds", "save_thresholds"]
