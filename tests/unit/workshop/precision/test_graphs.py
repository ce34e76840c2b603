"""The float16 and INT8 graphs of a small network, number by number."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edge_inspect.workshop.precision.body import body, convolutions, named
from edge_inspect.workshop.precision.half import half_graph
from edge_inspect.workshop.precision.quantised import measure_ranges, open_quietly, quantisable, quantised_graph

pytestmark = pytest.mark.workshop


def answers(graph: onnx.ModelProto, frames: list[np.ndarray]) -> np.ndarray:
    session = open_quietly(graph)
    return np.concatenate([session.run(["score_map"], {"frame": frame[None]})[0] for frame in frames])


def by_name(graph: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {node.name: node for node in graph.graph.node}


def constants(graph: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {each.name: numpy_helper.to_array(each) for each in graph.graph.initializer}


def test_the_network_begins_at_its_first_convolution_and_ends_at_its_last(small):
    assert [node.name for node in convolutions(small)] == ["first", "second", "third"]
    assert [node.name for node in body(small)] == ["first", "bend", "second", "residual", "third"]


def test_every_node_gets_a_name_of_its_own_and_the_graph_that_was_given_keeps_its_own(small):
    for node in small.graph.node:
        node.name = "same"
    names = [node.name for node in named(small).graph.node]
    assert len(set(names)) == len(names)
    assert {node.name for node in small.graph.node} == {"same"}


def test_half_precision_is_float16_inside_and_float32_outside(small, noise):
    half = half_graph(small)
    types = {each.name: each.data_type for each in half.graph.initializer}
    assert {name for name, kind in types.items() if kind == TensorProto.FLOAT16} == {"w1_half", "w2_half", "w3_half"}
    assert {name for name, kind in types.items() if kind == TensorProto.FLOAT} == {"blur", "gain"}
    casts = [node.name for node in half.graph.node if node.op_type == "Cast"]
    assert casts == ["cast", "scaled_half_Cast", "e_Cast"]
    whole = answers(small, noise)
    apart = np.abs(answers(half, noise) - whole).max() / np.ptp(whole)
    assert 1e-7 < apart < 2e-3


def test_half_precision_s_outputs_and_input_are_as_they_were(small):
    half = half_graph(small)
    assert [each.name for each in half.graph.output] == ["score_map", "image_score"]
    assert {each.type.tensor_type.elem_type for each in half.graph.output} == {TensorProto.FLOAT}
    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8


def test_ranges_are_the_largest_magnitudes_seen(small, noise):
    ranges = measure_ranges(small, noise)
    assert set(ranges) == {"scaled", "b", "c", "d"}
    watched = onnx.ModelProto()
    watched.CopyFrom(small)
    watched.graph.output.append(onnx.helper.make_tensor_value_info("d", TensorProto.FLOAT, None))
    session = open_quietly(watched)
    assert ranges["d"] == pytest.approx(max(float(np.abs(session.run(["d"], {"frame": frame[None]})[0]).max()) for frame in noise))


def test_pairs_are_symmetric_by_channel_for_weights_and_leave_biases_alone(small, noise):
    graph = quantised_graph(small, measure_ranges(small, noise), {"second"})
    pairs = [node for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    assert [(node.input[0], [a.i for a in node.attribute]) for node in pairs] == [("b", []), ("w2", [0])]
    values = constants(graph)
    assert all(not values[node.input[2]].any() and values[node.input[2]].dtype == np.int8 for node in pairs)
    np.testing.assert_allclose(values["w2_scale"], np.abs(values["w2"]).max(axis=(1, 2, 3)) / 127, rtol=1e-6)
    assert list(by_name(graph)["second"].input) == ["b_dequantised", "w2_dequantised"]
    assert list(by_name(graph)["residual"].input) == ["c", "b"]


def test_a_residual_s_branches_are_both_quantised_and_a_shared_tensor_once(small, noise):
    names = [node.name for node in quantisable(small)]
    assert names == ["first", "second", "residual", "third"]
    graph = quantised_graph(small, measure_ranges(small, noise), names)
    assert list(by_name(graph)["residual"].input) == ["c_dequantised", "b_dequantised"]
    assert [node.input[0] for node in graph.graph.node if node.op_type == "QuantizeLinear"].count("b") == 1
    assert list(by_name(graph)["light"].input) == ["planes", "blur"]


def test_a_transposed_convolution_s_channels_are_on_its_second_axis():
    random = np.random.default_rng(1)
    weights = numpy_helper.from_array(random.normal(0, 1, (4, 8, 2, 2)).astype(np.float32), "w")
    nodes = [
        onnx.helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="grow", strides=[2, 2]),
    ]
    ends = [
        onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 3, 3]),
        onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 6, 6]),
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights]))
    graph = quantised_graph(model, {"x": 1.0}, {"grow"})
    np.testing.assert_allclose(constants(graph)["w_scale"], np.abs(numpy_helper.to_array(weights)).max(axis=(0, 2, 3)) / 127, rtol=1e-6)
    assert [a.i for a in by_name(graph)["w_QuantizeLinear"].attribute] == [1]


def test_what_is_quantised_is_near_and_not_the_same(small, noise):
    graph = quantised_graph(small, measure_ranges(small, noise), [node.name for node in quantisable(small)])
    whole = answers(small, noise)
    apart = np.abs(answers(graph, noise) - whole).max() / np.ptp(whole)
    assert 1e-4 < apart < 0.05


def test_clipped_ranges_are_seen_in_the_answers(small, noise):
    ranges = measure_ranges(small, noise)
    names = [node.name for node in quantisable(small)]
    clipped = quantised_graph(small, {name: value / 4 for name, value in ranges.items()}, names)
    whole = answers(small, noise)
    assert np.abs(answers(clipped, noise) - whole).max() / np.ptp(whole) > 0.2


def test_a_tensor_that_is_nought_throughout_gets_a_scale_above_nought(small):
    graph = quantised_graph(small, dict.fromkeys(("scaled", "b", "c", "d"), 0.0), ["first"])
    assert constants(graph)["scaled_scale"] > 0
