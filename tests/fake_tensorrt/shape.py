"""Classes with exactly the listed names."""

import enum
import json
import types
from pathlib import Path

VERSIONS = ("8.2.1", "8.6.1", "10.3.0", "10.16.1.11", "11.0.0.114", "11.4.0.106", "rtx-1.7.1")
API = Path(__file__).parent / "api"
# The bit of a creation flag is its value: 1 << 1 is STRONGLY_TYPED in 10.x and something else in 11.x.
BITS = {"EXPLICIT_BATCH": 0, "EXPLICIT_PRECISION": 1}


class Crash(BaseException):
    """The real library would have ended the process here."""


def load(version):
    """A fresh fake module of one version of `VERSIONS`."""
    from fake_tensorrt import building, execution, network

    listed = read_names(version)
    module = types.ModuleType("tensorrt_rtx" if version.startswith("rtx") else "tensorrt")
    module.__version__ = listed["__version__"]
    bodies = {}
    for source in (network, building, execution):
        bodies.update(source.bodies(module))
    for name in listed["__all__"]:
        setattr(module, name, _attribute(module, name, listed.get(name), bodies.get(name, {})))
    return module


def read_names(version):
    """`{"__version__": ..., "__all__": [...], class: {"members": enum members or None, "dir": public names}}`."""
    return json.loads((API / (version + ".json")).read_text())


def _attribute(module, name, listed, body):
    if name in ("ILogger", "Logger"):
        return _logger(name)
    if not isinstance(listed, dict):
        return object()
    if listed["members"]:
        return _enum(module, name, listed["members"])
    return _shaped(name, listed["dir"], body)


def _shaped(name, listed, body):
    """A class with the body's names that are listed; what is listed and not written raises when it is called."""
    public = set(listed)
    members = {key: value for key, value in body.items() if key.startswith("__") or key.startswith("_") or key in public}
    for key in public - set(members):
        members[key] = _unwritten(name, key)

    def set_only_listed(self, key, value):
        if not key.startswith("_") and key not in public:
            raise AttributeError(f"'{name}' object has no attribute '{key}'")
        object.__setattr__(self, key, value)

    members["__setattr__"] = set_only_listed
    return type(name, (object,), members)


def _unwritten(name, key):
    def unwritten(self, *arguments, **named):
        raise NotImplementedError(f"the fake does not write {name}.{key}")

    return unwritten


class _Enum(enum.Enum):
    def __int__(self):
        return self.value


def _enum(module, name, members):
    """Not integers themselves, and other integers in each version: whoever stores one is found."""
    start = sum(map(ord, module.__version__)) % 7 + 3
    values = {member: start + place for place, member in enumerate(members)}
    if name == "NetworkDefinitionCreationFlag":
        strong = 1 if "EXPLICIT_BATCH" in members else 0
        values = {member: BITS.get(member, strong if member == "STRONGLY_TYPED" else 2 + place) for place, member in enumerate(members)}
    return _Enum(name, values)


class Severity(_Enum):
    """How bad a message is; the smaller the worse."""

    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


def _logger(name):
    class Base:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

        def __init__(self, min_severity=Severity.WARNING):
            self._started = True

        def log(self, severity, message):
            pass

    Base.Severity = Severity
    if name == "Logger":
        Base.min_severity = Severity.WARNING
    Base.__name__ = name
    return Base


def tell(logger, message, severity=Severity.ERROR):
    """Say something to a logger, which must have been made by its base class's constructor."""
    if not getattr(logger, "_started", False):
        raise Crash("the logger did not call the constructor of its base class")
    logger.log(severity, message)
