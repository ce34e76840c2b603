"""Who made a model folder: signed with a real key, altered in every way that matters, and refused."""

import base64
import json
import os
import re
import shutil
import stat
import sys

import pytest

from edge_inspect.cli.main import main
from edge_inspect.errors import ConfigError, EngineError, UntrustedModel
from edge_inspect.model_folder import open_model_folder
from tests.conftest import MODELS

try:
    import cryptography  # noqa: F401

    INSTALLED = True
except ImportError:
    INSTALLED = False

needs_cryptography = pytest.mark.skipif(not INSTALLED, reason="needs cryptography, the extra sign")


@pytest.fixture
def model(tmp_path):
    return shutil.copytree(MODELS / "tiny", tmp_path / "engines" / "cell")


@pytest.fixture
def key(tmp_path):
    return tmp_path / "private.pem"


def sign(model, key, *more):
    return main(["sign", "--model", str(model), "--key", str(key), *more])


def verify(model, public, *more):
    return main(["verify", "--model", str(model), "--public-key", str(public), *more])


@pytest.fixture
def signed(model, key, capsys):
    """A model folder signed with a new key; its public key is `private.pub`."""
    assert sign(model, key, "--new-key") == 0
    capsys.readouterr()
    return model


@pytest.fixture
def public(signed, key):
    return key.with_suffix(".pub")


def refusal(model, public, *, error=UntrustedModel):
    with pytest.raises(error) as caught:
        open_model_folder(model, public_key=public)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 78
    return str(caught.value)


def edit_manifest(folder, **changes):
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@needs_cryptography
def test_what_was_signed_is_verified_and_both_verbs_name_the_same_key(model, key, capsys):
    assert sign(model, key, "--new-key", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == ["golden.npz", "model.onnx"]
    assert (told["signature"], told["public_key"]) == (str(model / "manifest.json.sig"), str(key.with_suffix(".pub")))
    assert verify(model, told["public_key"], "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"model": str(model), "signed": True, "key": told["key"], "files": told["files"]}
    assert re.fullmatch("[0-9a-f]{16}", told["key"])


@needs_cryptography
def test_signing_and_verifying_say_what_they_did(model, key, capsys):
    assert sign(model, key, "--new-key") == 0
    said = capsys.readouterr().out
    assert "manifest.json.sig: golden.npz, model.onnx" in said
    assert 'write "public_key: private.pub" into station.yaml' in said
    assert sign(model, key) == 0
    assert "next" not in capsys.readouterr().out
    assert verify(model, key.with_suffix(".pub")) == 0
    assert "signed by key" in capsys.readouterr().out


@needs_cryptography
def test_the_signature_is_what_any_tool_makes_of_the_manifests_bytes(signed, public):
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    signature = base64.b64decode((signed / "manifest.json.sig").read_text(encoding="ascii").strip(), validate=True)
    load_pem_public_key(public.read_bytes()).verify(signature, (signed / "manifest.json").read_bytes())


@needs_cryptography
def test_a_new_private_key_is_its_owners_alone_whatever_the_umask(model, key):
    before = os.umask(0)
    try:
        sign(model, key, "--new-key")
    finally:
        os.umask(before)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"PRIVATE" not in key.with_suffix(".pub").read_bytes()


@needs_cryptography
@pytest.mark.parametrize("there", ["private.pem", "private.pub"])
def test_a_new_key_replaces_no_file(model, key, there, capsys):
    key.with_name(there).write_text("dear")
    assert sign(model, key, "--new-key") == 78
    assert f"{there}: is there already" in capsys.readouterr().err
    assert key.with_name(there).read_text() == "dear"
    assert not (model / "manifest.json.sig").exists()


@needs_cryptography
def test_a_place_where_no_key_can_be_written_is_told(model, tmp_path, capsys):
    assert sign(model, tmp_path / "nowhere" / "private.pem", "--new-key") == 78
    assert "the keys cannot be written: No such file or directory" in capsys.readouterr().err


@needs_cryptography
def test_a_damaged_folder_is_not_signed(model, key, capsys):
    (model / "model.onnx").write_bytes(b"other")
    assert sign(model, key, "--new-key") == 1
    assert "is not the file that was made" in capsys.readouterr().err
    assert not key.exists()


@needs_cryptography
def test_a_signature_that_cannot_be_written_is_told(signed, key, capsys):
    (signed / "manifest.json.sig").unlink()
    (signed / "manifest.json.sig").mkdir()
    assert sign(signed, key) == 1
    assert "cannot be signed: Is a directory; check space and permissions" in capsys.readouterr().err


@needs_cryptography
def test_an_unsigned_folder_is_refused(signed, public):
    (signed / "manifest.json.sig").unlink()
    said = refusal(signed, public)
    assert "manifest.json.sig: cannot be read: No such file or directory" in said
    assert "edge-inspect sign" in said


@needs_cryptography
@pytest.mark.parametrize("changes", [{"model": "another"}, {"files": {}}, {"files": {"../model.onnx": "0" * 64}}, {"format": 2}])
def test_an_altered_manifest_is_refused_before_anything_is_read_out_of_it(signed, public, changes):
    edit_manifest(signed, **changes)
    assert "does not fit the manifest and the key" in refusal(signed, public)
    assert "sign it again" in refusal(signed, public)


@needs_cryptography
@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_an_altered_file_is_refused(signed, public, name):
    content = bytearray((signed / name).read_bytes())
    content[-1] ^= 1
    (signed / name).write_bytes(content)
    assert f"{name}: is not the file that was made" in refusal(signed, public)


@needs_cryptography
def test_a_file_altered_together_with_its_hash_is_still_refused(signed, public):
    import hashlib

    (signed / "model.onnx").write_bytes(b"another graph")
    files = json.loads((signed / "manifest.json").read_text())["files"]
    edit_manifest(signed, files=files | {"model.onnx": hashlib.sha256(b"another graph").hexdigest()})
    assert open_model_folder(signed).model_sha256 == hashlib.sha256(b"another graph").hexdigest()
    assert "does not fit" in refusal(signed, public)


@needs_cryptography
def test_a_signed_manifest_that_names_a_file_elsewhere_is_refused_too(signed, key, public):
    from edge_inspect.signing import sign_manifest

    edit_manifest(signed, files={"../model.onnx": "0" * 64})
    sign_manifest(signed / "manifest.json", key)
    assert "names '../model.onnx', which is not a plain file name" in refusal(signed, public)


@needs_cryptography
def test_another_key_is_refused_and_the_verb_ends_with_78(signed, tmp_path, capsys):
    other = shutil.copytree(MODELS / "tiny", tmp_path / "engines" / "other")
    assert sign(other, tmp_path / "other.pem", "--new-key") == 0
    capsys.readouterr()
    assert verify(signed, tmp_path / "other.pub", "--json") == 78
    told = capsys.readouterr()
    assert told.out == ""
    assert "or another key signed it" in told.err


@needs_cryptography
def test_the_signature_of_another_model_is_refused(signed, key, public, tmp_path):
    other = shutil.copytree(MODELS / "tiny_mono", tmp_path / "engines" / "other")
    assert sign(other, key) == 0
    shutil.copy(other / "manifest.json.sig", signed)
    assert "does not fit" in refusal(signed, public)


@needs_cryptography
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not fit"),
        (b"AAAA", "does not fit"),
        (b"no base64!", "is no signature in base64"),
        (b"\xff\xfe", "is no signature in base64"),
    ],
)
def test_what_is_no_signature_is_refused(signed, public, content, said):
    (signed / "manifest.json.sig").write_bytes(content)
    assert said in refusal(signed, public)


@needs_cryptography
def test_a_file_added_by_build_asks_for_a_new_signature(signed, key, public):
    from edge_inspect.model_folder import LowerPrecision, add_precisions

    said = LowerPrecision(
        float32_layers=(), layers=0, frames=1, fingerprint="f", worst=0, mean=0, tolerance=1, mean_tolerance=1, least_overlap=0
    )
    add_precisions(open_model_folder(signed, public_key=public), {"fp16": (b"half", said)})
    assert "`build`" in refusal(signed, public)
    assert sign(signed, key) == 0
    assert "model.fp16.onnx" in open_model_folder(signed, public_key=public).manifest.files


@needs_cryptography
def test_a_missing_file_is_a_damage_and_not_a_forgery(signed, public):
    (signed / "golden.npz").unlink()
    with pytest.raises(EngineError, match="cannot be read: No such file") as caught:
        open_model_folder(signed, public_key=public)
    assert caught.value.exit_code == 1


def pem(kind):
    """Keys that are none of ours: of RSA, or encrypted."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    locked = form.BestAvailableEncryption(b"word") if kind == "encrypted" else form.NoEncryption()
    made = ed25519.Ed25519PrivateKey.generate() if kind == "encrypted" else rsa.generate_private_key(65537, 2048)
    private = made.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, locked)
    return private, made.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)


@needs_cryptography
def test_a_private_key_that_cannot_be_used_is_told(model, key, capsys):
    for content, said in [(b"nonsense", "is no private key"), (pem("rsa")[0], "is no private key"), (pem("encrypted")[0], "is encrypted")]:
        key.write_bytes(content)
        assert sign(model, key) == 78
        assert said in capsys.readouterr().err
    key.unlink()
    assert sign(model, key) == 78
    assert "the key cannot be read: No such file" in capsys.readouterr().err


@needs_cryptography
def test_a_public_key_that_cannot_be_used_is_told(signed, key, tmp_path):
    other = tmp_path / "other.pub"
    for content in (b"nonsense", pem("rsa")[1], key.read_bytes()):
        other.write_bytes(content)
        assert "is no public key of Ed25519" in refusal(signed, other, error=ConfigError)
    assert "the key cannot be read" in refusal(signed, tmp_path / "missing.pub", error=ConfigError)


def test_without_the_package_the_extra_is_named(model, key, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for verb in (lambda: sign(model, key), lambda: sign(model, key, "--new-key"), lambda: verify(model, key)):
        assert verb() == 78
        assert "pip install 'edge-inspect[sign]'" in capsys.readouterr().err


def test_a_folder_opens_without_the_package_where_no_key_is_named(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert open_model_folder(model).manifest.files
