import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_inspect.workshop.precision.quantised import measure_ranges, open_quietly, quantisable
from edge_inspect.workshop.precision.sensitivity import harm_of, quantise

pytestmark = pytest.mark.workshop


def scores(graph: onnx.ModelProto, frames: list[np.ndarray]) -> np.ndarray:
    session = open_quietly(graph)
    return np.array([float(session.run(["image_score"], {"frame": frame[None]})[0][0]) for frame in frames])


def far_above(graph: onnx.ModelProto, frames: list[np.ndarray]) -> float:
    found = scores(graph, frames)
    return float(np.median(found) + 2 * np.ptp(found))


@pytest.fixture
def threshold(small, noise) -> float:
    return far_above(small, noise)


def spoilt(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """One weight of every channel is huge and multiplies next to nothing: eight bits are too few for that layer's others."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for each in copy.graph.initializer:
        if each.name == name:
            values = numpy_helper.to_array(each).copy()
            values[:, 0, 0, 0] += 40.0
            values[:, 0, 0, 1] -= 40.0
            each.CopyFrom(numpy_helper.from_array(values, name))
    return copy


def test_harm_is_told_as_a_part_of_the_room_to_the_threshold(small, noise, threshold):
    doubled = onnx.ModelProto()
    doubled.CopyFrom(small)
    for each in doubled.graph.initializer:
        if each.name == "w3":
            each.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(each) * 2, "w3"))
    found = scores(small, noise)
    harm = harm_of(small, doubled, noise, threshold=threshold)
    assert harm.worst == pytest.approx(np.abs(found).max() / (threshold - np.median(found)), rel=1e-4)
    assert harm.mean == pytest.approx(np.abs(found).mean() / (threshold - np.median(found)), rel=1e-4)


def test_where_all_layers_do_no_harm_all_are_quantised(small, noise, threshold):
    found = quantise(small, measure_ranges(small, noise[:6]), noise[6:], ranged=noise[:6], threshold=threshold, allowed=0.5)
    assert (found.float32_layers, found.layers, found.harm) == ((), 4, found.all_layers)


def test_the_layer_that_harms_is_found_and_left_in_float32(small, noise):
    bad = spoilt(small, "w2")
    room = far_above(bad, noise)
    ranges = measure_ranges(bad, noise[:6])
    everything = quantise(bad, ranges, noise[6:], ranged=noise[:6], threshold=room, allowed=100.0)
    found = quantise(bad, ranges, noise[6:], ranged=noise[:6], threshold=room, allowed=0.5 * everything.harm.worst)
    assert max(found.alone, key=found.alone.get) == "second"
    assert found.float32_layers[0] == "second"
    assert found.harm.worst <= 0.5 * everything.harm.worst < found.all_layers.worst
    assert len(found.float32_layers) < found.layers


def test_where_no_harm_at_all_is_allowed_every_layer_stays_in_float32(small, noise, threshold):
    found = quantise(small, measure_ranges(small, noise[:6]), noise[6:], ranged=noise[:6], threshold=threshold, allowed=1e-9)
    assert set(found.float32_layers) == {node.name for node in quantisable(small)}
    assert found.harm.worst == 0
    assert not any(node.op_type == "QuantizeLinear" for node in found.graph.graph.node)


def test_the_work_is_told_layer_by_layer(small, noise, threshold):
    told = []
    quantise(
        small,
        measure_ranges(small, noise),
        noise,
        ranged=noise,
        threshold=threshold,
        allowed=1e-9,
        told=lambda *words: told.append(words[1:]),
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
