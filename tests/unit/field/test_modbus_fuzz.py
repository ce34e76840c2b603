"""Mutated requests cost their own connections and nothing else."""

from dataclasses import replace

from edge_inspect.field.modbus_fuzz import Fuzzed, fuzz


def test_three_thousand_mutated_requests_leave_the_server_answering_and_its_books_in_order():
    found = fuzz(3_000)
    assert found.requests == 3_000
    assert found.clean, found
    assert found.cut > 300
    assert found.answered > 300
    assert found.answered + found.cut <= found.requests


def test_a_server_that_stops_answering_is_not_clean():
    good = Fuzzed(requests=1, connections=1, answered=1, cut=0, refused_to_answer=0, files_more=0, alive=True)
    assert good.clean
    assert not replace(good, refused_to_answer=1).clean
    assert not replace(good, alive=False).clean
    assert not replace(good, files_more=1000).clean
