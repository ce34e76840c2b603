"""What may be imported by what, checked on a running interpreter; the floors themselves are import-linter's (`make lint`)."""

import subprocess
import sys

import pytest

LINE = (
    *("station", "inspector", "testing", "field.replay", "field.calibration.calibration", "field.benchmark", "field.fake_plc"),
    *(
        "cli.run",
        "cli.check",
        "cli.status",
        "cli.replay",
        "cli.calibrate",
        "cli.calibrating",
        "cli.msa",
        "field.msa.page",
        "cli.bench",
        "cli.fake_plc",
    ),
)


def modules_after(statement):
    """Names of the modules that stand in sys.modules after a statement, in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    loaded = modules_after("import edge_inspect")
    assert not loaded & {"numpy", "cv2", "pydantic", "yaml", "openvino", "onnxruntime", "pymodbus"}


@pytest.mark.parametrize("module", LINE)
def test_the_line_imports_neither_torch_nor_onnx_nor_the_workshop(module):
    loaded = modules_after(f"import edge_inspect.{module}")
    assert f"edge_inspect.{module}" in loaded
    assert not loaded & {"torch", "onnx", "edge_inspect.workshop"}


def test_only_the_named_verb_is_imported():
    loaded = modules_after("from edge_inspect.cli.main import main\ntry:\n    main(['status', '--help'])\nexcept SystemExit:\n    pass")
    assert "edge_inspect.cli.status" in loaded
    assert "edge_inspect.cli.demo" not in loaded
    assert "numpy" not in loaded


def test_no_plugin_is_imported_that_no_file_names():
    loaded = modules_after("import edge_inspect.station")
    assert not {name for name in loaded if name.startswith(("edge_inspect.cameras.", "edge_inspect.runtimes."))}
    assert not loaded & {"openvino", "onnxruntime", "pymodbus"}


@pytest.mark.workshop
def test_teaching_switches_usage_reports_off_before_it_imports_what_reports():
    loaded = modules_after(
        "import sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        import os\n"
        "        if name == 'onnxruntime':\n"
        "            assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import edge_inspect.workshop.teach"
    )
    assert "onnxruntime" in loaded
