"""A covariance kept as its r strongest directions and one variance for the rest; only the study of `teach_study` uses it.

With U_r and lambda_r the leading eigenvectors and eigenvalues and s^2 the mean of the discarded eigenvalues,
Sigma ~ U_r diag(lambda_r - s^2) U_r^T + s^2 I, so that the distance is |x|^2 / s^2 - sum_i (1 / s^2 - 1 / lambda_i) (u_i^T x)^2:
d x r constants for a block instead of d x d. Source: Tipping and Bishop 1999, Probabilistic principal component analysis, eq. 7 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.graph import write_graph
from edge_inspect.workshop.padim import Head

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LowRank:
    """The covariances of all blocks.

    Attributes:
        axes: leading eigenvectors in columns (blocks, d, r).
        along: their eigenvalues (blocks, r).
        rest: mean of the discarded eigenvalues (blocks,).
    """

    axes: Float64
    along: Float64
    rest: Float64

    def covariance(self) -> Float64:
        """The whole matrices (blocks, d, d), whose inverse gives the same distance."""
        spread = np.matmul(self.axes * (self.along - self.rest[:, None])[:, None], self.axes.transpose(0, 2, 1))
        whole: Float64 = spread + self.rest[:, None, None] * np.eye(self.axes.shape[1])
        return whole

    def folded(self) -> npt.NDArray[np.float32]:
        """Axes times the root of what they take away (blocks, d, r): the distance is |x|^2 / s^2 - |x folded|^2."""
        return (self.axes * np.sqrt(1 / self.rest[:, None] - 1 / self.along)[:, None]).astype(np.float32)


def low_rank(covariance: Float64, rank: int) -> LowRank:
    """The low-rank form of covariances (blocks, d, d); `rank` is 1 to d - 1."""
    along, axes = np.linalg.eigh(covariance)
    return LowRank(axes=axes[:, :, -rank:], along=along[:, -rank:], rest=along[:, :-rank].mean(axis=1))


def write_low_rank_graph(
    backbone: onnx.ModelProto,
    embed: npt.NDArray[np.float32],
    mean: npt.NDArray[np.float32],
    gaussians: LowRank,
    *,
    block: int,
    size: ImageSize,
    sigma: float,
) -> onnx.ModelProto:
    """The graph of `write_graph`, with the closed formula in place of the length of the whitened features.

    Args:
        backbone: the shipped one.
        embed: (channels of all levels, d).
        mean: one for every position (d, H/8, W/8).
        gaussians: one for every block.
        block: side of the square of positions that shares a covariance.
        size: the network's image.
        sigma: Gaussian filter [cells of the map].
    """
    folded = Head(mean=mean, whitening=gaussians.folded(), block=block)
    graph = (model := write_graph(backbone, embed, folded, size=size, sigma=sigma)).graph
    before = [node.name for node in graph.node].index("lengths")
    nodes = [*graph.node[:before], *_length_nodes(), *graph.node[before + 1 :]]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(numpy_helper.from_array((1 / gaussians.rest).astype(np.float32)[:, None], "nearness"))
    graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), "nothing"))
    onnx.checker.check_model(model, full_check=True)
    return model


def _length_nodes() -> list[onnx.NodeProto]:
    """From `block_rows` and `whitened` (times `folded` here) to `lengths`; rounding must not put a negative under the root."""
    steps: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
        ("ReduceSumSquare", ["block_rows"], "squares", {"axes": [2], "keepdims": 0}),
        ("Mul", ["squares", "nearness"], "squares.near", {}),
        ("ReduceSumSquare", ["whitened"], "squares.along", {"axes": [2], "keepdims": 0}),
        ("Sub", ["squares.near", "squares.along"], "lengths.squared", {}),
        ("Clip", ["lengths.squared", "nothing"], "lengths.positive", {}),
        ("Sqrt", ["lengths.positive"], "lengths", {}),
    )
    return [helper.make_node(kind, inputs, [output], name=output, **attributes) for kind, inputs, output, attributes in steps]
