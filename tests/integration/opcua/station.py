"""A station behind the OPC UA wire in a process that can be killed and frozen: `station.py FOLDER PORT`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.opcua_lab import laboratory

if __name__ == "__main__":
    with laboratory(Path(sys.argv[1]), port=int(sys.argv[2])) as lab:
        print(lab.plc.bound_port, flush=True)
        while True:
            time.sleep(1)
