"""`edge-inspect verify`: is this model folder whole, and signed by the owner of this key?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

NAME = "verify"
HELP = "verify the files of a model folder and its signature by a public key, as a station does (needs the extra sign)"
EXAMPLE = "edge-inspect verify --model engines/cell --public-key private.pub"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="the model folder, such as engines/cell")
    parser.add_argument("--public-key", type=Path, required=True, metavar="FILE", help="public key of who must have signed it, PEM")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Verify; 0 when a station that names this key would take the folder.

    Raises:
        ConfigError: cryptography is not installed, or the file is no public key.
        UntrustedModel: the folder is unsigned, signed by another key, or altered.
        EngineError: a file is missing.
    """
    from edge_inspect.model_folder import open_model_folder
    from edge_inspect.signing import fingerprint_of

    files = sorted(open_model_folder(arguments.model, public_key=arguments.public_key).manifest.files)
    key = fingerprint_of(arguments.public_key)
    if arguments.json:
        print(json.dumps({"model": str(arguments.model), "signed": True, "key": key, "files": files}))
    else:
        print(f"{arguments.model}: signed by key {key}; verified: {', '.join(files)}")
    return 0
