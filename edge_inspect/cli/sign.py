"""`edge-inspect sign`: say with a private key that this model folder is yours."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

NAME = "sign"
HELP = "sign a model folder with an Ed25519 key, for stations that name its public key (needs the extra sign)"
EXAMPLE = "edge-inspect sign --model engines/cell --key private.pem --new-key"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="the model folder, such as engines/cell")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key, PEM; it never goes to a station")
    parser.add_argument("--new-key", action="store_true", help="make the key first, and its public key beside it, ending in .pub")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Verify the folder's files, then sign its manifest.

    Raises:
        ConfigError: cryptography is not installed, or the key cannot be used or made.
        EngineError: the folder is damaged, or the signature cannot be written.
    """
    from edge_inspect.model_folder import MANIFEST_FILE, open_model_folder
    from edge_inspect.signing import make_key_pair, sign_manifest, signature_file

    model = open_model_folder(arguments.model)
    public = make_key_pair(arguments.key) if arguments.new_key else None
    manifest = model.path / MANIFEST_FILE
    key = sign_manifest(manifest, arguments.key)
    if arguments.json:
        told = {"signature": str(signature_file(manifest)), "key": key, "files": sorted(model.manifest.files)}
        print(json.dumps({**told, "public_key": None if public is None else str(public)}))
        return 0
    print(f"signed       {signature_file(manifest)}: {', '.join(sorted(model.manifest.files))}")
    print(f"key          {key}")
    if public is not None:
        print(
            f'next         copy {public} to the station and write "public_key: {public.name}" into station.yaml; keep {arguments.key} here'
        )
    return 0
