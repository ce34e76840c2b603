"""TensorRT and pycuda as they are from outside, without a GPU: for tests of the builder, the worker and the runtime.

`load("10.3.0")` gives a module whose classes have exactly the names that the real module of that version has
(`api/*.json` are `dir()` of the real bindings); anything else is an AttributeError, as there. What the builder and the
worker call really works: the parser parses with onnx, a plan carries the graph, an engine runs it through ONNX Runtime on
the device memory of `fake_tensorrt.cuda`, which is shaped like `pycuda.driver`.

What the fakes are stricter in than the real ones: enums are no integers, copies and inferences happen only when their
stream is synchronised, memory that is not page-locked cannot be copied asynchronously, and an object that dies before
its users raises `Crash` where the real one ends the process.

`fake_tensorrt.tensorrt` and `fake_tensorrt.cuda` can be imported by name, in another process too; the version comes from
the environment (`FAKE_TENSORRT_VERSION`), faults from a file (`faults.py`). Syntax of Python 3.6, which the worker has.
"""

from fake_tensorrt.shape import VERSIONS, load

__all__ = ["VERSIONS", "load"]
