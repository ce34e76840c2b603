"""`python -m edge_inspect` is `edge-inspect`."""

import sys

from edge_inspect.cli.main import main

sys.exit(main())
