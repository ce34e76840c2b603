"""The loop: exactly one verdict for every trigger, in time.

`loop` is the line itself, read top-down; `inspections` makes the one inspection of each trigger; `delivery` brings it to the
PLC and the records, `promised` notes it before, for `recovery` after a crash; `opening` opens everything a station file names.
"""

from edge_inspect.station.libraries import look_for_libraries
from edge_inspect.station.loop import Station
from edge_inspect.station.opening import open_station, prepare_station

__all__ = ["Station", "look_for_libraries", "open_station", "prepare_station"]
