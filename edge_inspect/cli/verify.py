"""`edge-inspect verify`: is this model folder whole and signed by the owner of this key; is all of this station as it was written?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.errors import ConfigError

if TYPE_CHECKING:
    from edge_inspect.field.verifying import Verified

NAME = "verify"
HELP = "verify a model folder by a public key, or all of a station: models, thresholds' history, audit record (keys need the extra sign)"
EXAMPLE = "edge-inspect verify --model engines/cell --public-key private.pub\n  edge-inspect verify --station station.yaml --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, metavar="DIR", help="a model folder, such as engines/cell")
    what.add_argument("--station", type=Path, metavar="FILE", help="a station file: its models by its own key, histories and audit record")
    parser.add_argument("--public-key", type=Path, metavar="FILE", help="with --model: public key of who must have signed it, PEM")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Verify; 0 when a station that names this key would take the folder, and all of a station is as it was written.

    Raises:
        ConfigError: cryptography is not installed, the file is no public key, or the station file is wrong.
        UntrustedModel: the folder is unsigned, signed by another key, or altered.
        EngineError: a file is missing.
    """
    if arguments.station is not None:
        return _station(arguments)
    if arguments.public_key is None:
        raise ConfigError("verify: --model needs --public-key, the key of who must have signed it; --station takes the station's own")
    return _model(arguments)


def _model(arguments: argparse.Namespace) -> int:
    from edge_inspect.model_folder import open_model_folder
    from edge_inspect.signing import fingerprint_of

    files = sorted(open_model_folder(arguments.model, public_key=arguments.public_key).manifest.files)
    key = fingerprint_of(arguments.public_key)
    if arguments.json:
        print(json.dumps({"model": str(arguments.model), "signed": True, "key": key, "files": files}))
    else:
        print(f"{arguments.model}: signed by key {key}; verified: {', '.join(files)}")
    return 0


def _station(arguments: argparse.Namespace) -> int:
    from edge_inspect.field.verifying import verify_station

    found = verify_station(arguments.station)
    print(json.dumps(_document(found)) if arguments.json else "\n".join([*found.sound, *(f"NOT SOUND {one}" for one in found.problems)]))
    return 1 if found.problems else 0


def _document(found: Verified) -> dict[str, object]:
    return {"sound": list(found.sound), "problems": list(found.problems), "audit": found.audit}
