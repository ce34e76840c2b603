"""A plan of the fakes: what it was built with, and the ONNX graph."""

import json

MAGIC = b"fake plan\0"


def write_plan(module, onnx_bytes, capabilities, **built):
    """Bytes of a plan for devices of these capabilities."""
    header = dict(built, module=module.__name__, version=module.__version__, capabilities=[list(one) for one in capabilities])
    return MAGIC + json.dumps(header, sort_keys=True).encode() + b"\0" + onnx_bytes


def read_plan(plan):
    """(header, ONNX bytes), or None for anything else."""
    plan = bytes(plan)
    if not plan.startswith(MAGIC):
        return None
    header, _, onnx_bytes = plan[len(MAGIC) :].partition(b"\0")
    return json.loads(header.decode()), onnx_bytes
