"""The command line: verbs, exit codes, one sentence on standard error."""

import pytest

from edge_inspect import __version__
from edge_inspect.cli import main as command
from edge_inspect.cli.main import VERBS, main
from edge_inspect.errors import ConfigError, EdgeInspectError


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert all(verb in said for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert f"example: edge-inspect {verb}" in capsys.readouterr().out


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(("words", "code"), [([], 2), (["run", "--nonsense"], 2)])
def test_wrong_usage_is_code_2(words, code):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == code


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("station.yaml:3: name: is missing; add it"), 78, "edge-inspect: station.yaml:3: name: is missing; add it\n"),
        (EdgeInspectError("the disk is full; make room"), 1, "edge-inspect: the disk is full; make room\n"),
        (KeyboardInterrupt(), 1, "edge-inspect: stopped from the keyboard\n"),
    ],
)
def test_an_error_is_one_sentence_and_a_code(monkeypatch, capsys, error, code, said):
    class Failing:
        HELP, EXAMPLE = "fails", "edge-inspect status"

        @staticmethod
        def add_arguments(parser):
            pass

        @staticmethod
        def run(arguments):
            raise error

    monkeypatch.setattr(command, "_verb", lambda name: Failing)
    assert main(["status"]) == code
    assert capsys.readouterr().err == said


def test_a_reader_that_has_seen_enough_is_no_crash():
    import subprocess
    import sys

    script = "import sys; from edge_inspect.cli.main import main; sys.exit(main(['check', '--help']))"
    shell = subprocess.run(f'"{sys.executable}" -c "{script}" | head -c 1', shell=True, capture_output=True, text=True, check=True)
    assert "Traceback" not in shell.stderr


def test_what_an_option_that_only_tells_needs_and_lacks_is_one_sentence(monkeypatch, capsys):
    def refuse(*_words):
        raise ConfigError("train needs the package torch, which is not installed")

    monkeypatch.setattr("edge_inspect.cli.train.refuse_without", refuse)
    assert main(["train", "--list"]) == 78
    assert capsys.readouterr().err == "edge-inspect: train needs the package torch, which is not installed\n"
