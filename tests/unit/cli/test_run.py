"""What `edge-inspect run` does around its station."""

import gc

from edge_inspect.cli.run import uncollected


def test_what_stands_when_parts_begin_to_come_is_left_out_of_garbage_collections():
    stands = [object()]
    with uncollected():
        assert gc.get_freeze_count() > 0
        assert not any(one is stands for one in gc.get_objects())
    assert gc.get_freeze_count() == 0
    assert any(one is stands for one in gc.get_objects())
