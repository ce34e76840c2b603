"""Documents that would be wrong without anyone noticing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edge_inspect import __version__
from edge_inspect.cli.main import VERBS, _verb
from edge_inspect.config import Recipe, Station

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```yaml\n# (station|recipe)\.yaml\n(.*?)```", (ROOT / "docs" / "configuration.md").read_text(), re.DOTALL)


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=[kind for kind, _ in EXAMPLES])
def test_the_examples_of_the_configuration_page_are_valid(kind, text):
    {"station": Station, "recipe": Recipe}[kind].model_validate(yaml.safe_load(text))


def test_the_page_of_plugins_is_what_the_code_says():
    tool = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "document-plugins"), "--check"], capture_output=True, text=True, check=False
    )
    assert tool.returncode == 0, tool.stderr


def test_both_files_have_an_example():
    assert {kind for kind, _ in EXAMPLES} == {"station", "recipe"}


def test_the_changelog_has_this_version_and_says_whether_to_recalibrate():
    entry = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1]
    assert entry.startswith(__version__)
    assert "Recalibrate? " in entry


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_with_an_example_of_itself(name):
    verb = _verb(name)
    assert verb.HELP
    assert verb.EXAMPLE.startswith(f"edge-inspect {name}")


def test_no_document_links_to_a_file_that_is_not_there():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
