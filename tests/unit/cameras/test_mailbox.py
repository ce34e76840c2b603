"""The freshness rule between the capture thread and the line."""

import logging
import threading
import time
from datetime import datetime, timezone

import numpy as np
import pytest

from edge_inspect.cameras.mailbox import Mailbox, Shot
from edge_inspect.errors import CameraError

A_DAY_NS = 86_400 * 10**9


def shot(mark: int, *, age_ns: int = 0) -> Shot:
    pixels = np.full((1, 1, 1), mark, np.uint8)
    return Shot(pixels=pixels, exposed_ns=time.monotonic_ns() - age_ns, taken_at=datetime.now(timezone.utc))


def listened_to(keep: str, *, room: int = 3, max_age_ns: int = A_DAY_NS, silence_ns: int | None = None) -> Mailbox:
    mailbox = Mailbox(camera="camera top", keep=keep, room=room, max_age_ns=max_age_ns, silence_ns=silence_ns)
    mailbox.connected()
    assert mailbox.take(0) is None
    return mailbox


def taken(mailbox: Mailbox, count: int) -> list[tuple[int, int] | str | None]:
    return [outcome(mailbox) for _ in range(count)]


def outcome(mailbox: Mailbox) -> tuple[int, int] | str | None:
    """Mark and sequence of the next shot, or what was raised."""
    try:
        found = mailbox.take(0)
    except CameraError as error:
        return str(error)
    return None if found is None else (int(found.pixels[0, 0, 0]), found.sequence)


def test_every_gives_all_in_order() -> None:
    mailbox = listened_to("every")
    for mark in (5, 6, 7):
        mailbox.put(shot(mark))
    assert taken(mailbox, 4) == [(5, 0), (6, 1), (7, 2), None]
    assert mailbox.dropped == 0


def test_every_drops_the_oldest_when_full_and_leaves_a_gap_in_the_count() -> None:
    mailbox = listened_to("every", room=2)
    for mark in (5, 6, 7, 8):
        mailbox.put(shot(mark))
    assert taken(mailbox, 3) == [(7, 2), (8, 3), None]
    assert mailbox.dropped == 2


def test_freshest_gives_the_newest_once_and_counts_what_it_passed_over() -> None:
    mailbox = listened_to("freshest")
    for mark in (5, 6, 7):
        mailbox.put(shot(mark))
    assert taken(mailbox, 2) == [(7, 0), None]
    mailbox.put(shot(8))
    assert taken(mailbox, 1) == [(8, 1)]
    assert mailbox.dropped == 2


def test_freshest_never_gives_a_frame_that_is_too_old() -> None:
    mailbox = listened_to("freshest", max_age_ns=A_DAY_NS // 2)
    mailbox.put(shot(5, age_ns=A_DAY_NS))
    assert taken(mailbox, 1) == [None]
    mailbox.put(shot(6))
    assert taken(mailbox, 1) == [(6, 0)]
    assert mailbox.dropped == 1


def test_every_gives_old_frames_too() -> None:
    mailbox = listened_to("every", max_age_ns=0)
    mailbox.put(shot(5, age_ns=A_DAY_NS))
    assert taken(mailbox, 1) == [(5, 0)]


def test_frames_before_the_first_grab_are_nobodys() -> None:
    mailbox = Mailbox(camera="camera top", keep="every", room=1, max_age_ns=0, silence_ns=None)
    for mark in (1, 2, 3):
        mailbox.put(shot(mark))
    assert taken(mailbox, 1) == [None]
    mailbox.put(shot(4))
    assert taken(mailbox, 1) == [(4, 0)]
    assert mailbox.dropped == 0


def test_a_source_that_is_away_is_told_at_every_call() -> None:
    mailbox = listened_to("every")
    mailbox.interrupt("cable out")
    assert taken(mailbox, 3) == ["cable out"] * 3


def test_an_outage_between_two_grabs_is_told_once_and_in_its_place() -> None:
    mailbox = listened_to("every")
    mailbox.put(shot(5))
    for reason in ("cable out", "refused", "refused again"):
        mailbox.interrupt(reason)
    mailbox.connected()
    mailbox.interrupt("cable out again")
    mailbox.connected()
    assert outcome(mailbox) == (5, 0)
    mailbox.put(shot(6))
    assert taken(mailbox, 3) == ["cable out", (6, 1), None]


def test_an_outage_told_while_it_lasted_is_not_told_again() -> None:
    mailbox = listened_to("every")
    mailbox.interrupt("cable out")
    assert outcome(mailbox) == "cable out"
    mailbox.interrupt("refused")
    assert outcome(mailbox) == "refused"
    mailbox.interrupt("refused")
    mailbox.connected()
    mailbox.put(shot(6))
    assert taken(mailbox, 2) == [(6, 0), None]


def test_for_the_freshest_frame_an_outage_that_is_over_is_no_matter() -> None:
    mailbox = listened_to("freshest")
    mailbox.interrupt("cable out")
    mailbox.connected()
    mailbox.put(shot(6))
    assert taken(mailbox, 2) == [(6, 0), None]


def test_a_full_queue_keeps_the_outage_and_drops_frames() -> None:
    mailbox = listened_to("every", room=1)
    mailbox.put(shot(5))
    mailbox.interrupt("cable out")
    mailbox.put(shot(6))
    assert taken(mailbox, 3) == ["cable out", (6, 1), None]


def test_an_outage_before_the_first_grab_that_is_over_is_not_told() -> None:
    mailbox = Mailbox(camera="camera top", keep="every", room=1, max_age_ns=0, silence_ns=None)
    assert outcome(mailbox) == "camera top: not connected yet"
    fresh = Mailbox(camera="camera top", keep="every", room=1, max_age_ns=0, silence_ns=None)
    fresh.interrupt("refused")
    fresh.connected()
    assert outcome(fresh) is None


def test_a_connected_source_that_is_silent_too_long_is_away() -> None:
    mailbox = listened_to("every", silence_ns=A_DAY_NS // 2)
    mailbox.put(shot(5, age_ns=A_DAY_NS))
    taken(mailbox, 1)
    assert "camera top: connected, but no frame for 86400" in str(outcome(mailbox))
    mailbox.put(shot(6))
    assert taken(mailbox, 2) == [(6, 1), None]


def test_after_the_end_the_rest_is_given_and_then_nothing() -> None:
    mailbox = listened_to("every", silence_ns=A_DAY_NS // 2)
    mailbox.put(shot(5, age_ns=A_DAY_NS))
    mailbox.interrupt("file gone")
    mailbox.end()
    assert not mailbox.over
    assert taken(mailbox, 4) == [(5, 0), "file gone", None, None]
    assert mailbox.over


def test_a_waiting_line_is_woken_by_a_frame() -> None:
    mailbox = listened_to("freshest", max_age_ns=0)
    threading.Timer(0.02, lambda: mailbox.put(shot(5))).start()
    assert mailbox.take(30).pixels[0, 0, 0] == 5


def test_a_waiting_line_is_woken_by_a_loss() -> None:
    mailbox = listened_to("every")
    threading.Timer(0.02, lambda: mailbox.interrupt("cable out")).start()
    with pytest.raises(CameraError, match="cable out"):
        mailbox.take(30)


def test_a_source_that_can_wait_waits_for_the_line_and_for_room() -> None:
    mailbox = Mailbox(camera="camera top", keep="every", room=1, max_age_ns=0, silence_ns=None)
    assert not mailbox.wait_for_room(0)
    mailbox.connected()
    mailbox.take(0)
    assert mailbox.wait_for_room(0)
    mailbox.put(shot(5))
    assert not mailbox.wait_for_room(0)
    mailbox.take(0)
    assert mailbox.wait_for_room(0)


def test_a_freshest_source_always_has_room() -> None:
    mailbox = listened_to("freshest")
    mailbox.put(shot(5))
    assert mailbox.wait_for_room(0)


@pytest.mark.parametrize(("keep", "level"), [("every", logging.WARNING), ("freshest", logging.INFO)])
def test_drops_are_reported_with_their_number_but_not_in_every_line(keep: str, level: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    mailbox = listened_to(keep, room=1)
    for mark in range(6):
        mailbox.put(shot(mark))
    assert [record.levelno for record in caplog.records] == [level]
    assert "camera top: 1 frames" in caplog.text
    assert mailbox.dropped == 5
