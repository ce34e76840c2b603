"""The handshake, step by step, as a PLC programmer would check it against the map."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_inspect.datatypes import Inspection, Notices, RequestKind, Verdict
from edge_inspect.plc.handshake import SECOND_NS, Emitted, Handshake
from edge_inspect.plc.signals import Control, OfflineReason, Status, Trouble

ALLOWED_NS = 100
ENABLED = Control(trigger_enable=True, buffer_results_enable=True)
TRIGGER = Control(trigger_enable=True, buffer_results_enable=True, trigger=True)
ACK = Control(trigger_enable=True, buffer_results_enable=True, results_ack=True)
Inspect = Callable[..., Inspection]


@pytest.fixture
def handshake() -> Handshake:
    """Ready, at time 0, buffered."""
    handshake = Handshake(allowed_ns=ALLOWED_NS)
    handshake.ready(True)
    handshake.write(ENABLED, 0)
    return handshake


def pulse(handshake: Handshake, now_ns: int) -> Status:
    """Trigger up and down; what was shown while it was up."""
    handshake.write(TRIGGER, now_ns)
    status = handshake.status(now_ns)
    handshake.write(ENABLED, now_ns)
    return status


def acknowledge(handshake: Handshake, now_ns: int) -> Status:
    """Read the result, acknowledge it; what was read."""
    status = handshake.status(now_ns)
    handshake.write(ACK, now_ns)
    handshake.write(ENABLED, now_ns)
    return status


def test_before_the_station_is_ready_nothing_is_shown_as_ready_or_good() -> None:
    status = Handshake(allowed_ns=ALLOWED_NS).status(0)
    assert not any((status.trigger_ready, status.online, status.results_valid, status.job_pass, status.error))
    assert (status.offline_reason, status.acquisition_id, status.result_code) == (OfflineReason.STATION, 0, 0)


def test_a_trigger_is_acknowledged_inspected_shown_and_taken(handshake: Handshake, inspection_of: Inspect) -> None:
    assert handshake.status(1).trigger_ready
    handshake.write(TRIGGER, 2)
    status = handshake.status(2)
    assert (status.trigger_ack, status.trigger_ready, status.system_busy, status.acquisition_id) == (True, False, True, 1)
    handshake.write(ENABLED, 3)
    assert not handshake.status(3).trigger_ack

    request = handshake.take(4)
    assert request is not None
    assert (request.kind, request.acquisition, request.received_ns, request.deadline_ns) == (RequestKind.TRIGGER, 1, 2, 2 + ALLOWED_NS)
    completed = handshake.status(4).inspection_completed
    assert handshake.emit(inspection_of(1), 50) is Emitted.DELIVERED

    status = handshake.status(50)
    assert (status.results_valid, status.job_pass, status.result_code, status.result.acquisition) == (True, True, 1, 1)
    assert status.inspection_completed is not completed
    assert (status.trigger_ready, status.system_busy) == (True, False)
    handshake.write(ACK, 51)
    status = handshake.status(51)
    assert (status.results_valid, status.job_pass, status.result_code) == (False, False, 0)
    assert status.result.score == 1.5, "the other words stay readable"


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.OK, 1), (Verdict.NG, 2), (Verdict.FAULT, 3)])
def test_only_ok_is_a_pass(handshake: Handshake, inspection_of: Inspect, verdict: Verdict, code: int) -> None:
    pulse(handshake, 0)
    handshake.emit(inspection_of(1, verdict), 1)
    status = handshake.status(1)
    assert (status.result_code, status.job_pass) == (code, verdict is Verdict.OK)
    assert (status.result.trouble is Trouble.STATION) == (verdict is Verdict.FAULT)
    assert not status.error


def test_without_trigger_enable_a_trigger_is_ignored(handshake: Handshake) -> None:
    handshake.write(Control(), 0)
    handshake.write(Control(trigger=True), 1)
    handshake.write(Control(trigger=True, trigger_enable=True), 2)
    status = handshake.status(2)
    assert (status.acquisition_id, status.trigger_ack, handshake.take(2)) == (0, False, None)


def test_the_result_is_fault_at_the_deadline_and_not_before(handshake: Handshake) -> None:
    pulse(handshake, 5)
    assert not handshake.status(4 + ALLOWED_NS).results_valid
    status = handshake.status(5 + ALLOWED_NS)
    assert (status.result_code, status.result.trouble, status.error_code) == (3, Trouble.LATE, Trouble.LATE)
    assert status.exposure_complete
    assert status.counters.late == 1


def test_a_verdict_after_the_deadline_is_refused_and_changes_nothing(handshake: Handshake, inspection_of: Inspect) -> None:
    pulse(handshake, 0)
    handshake.take(0)
    assert handshake.emit(inspection_of(1), ALLOWED_NS) is Emitted.LATE
    assert acknowledge(handshake, ALLOWED_NS).result_code == 3
    assert not handshake.status(ALLOWED_NS).results_valid


def test_a_second_verdict_or_one_for_no_part_is_refused(handshake: Handshake, inspection_of: Inspect) -> None:
    pulse(handshake, 0)
    handshake.emit(inspection_of(1, Verdict.NG), 1)
    assert handshake.emit(inspection_of(1), 2) is Emitted.UNKNOWN
    assert handshake.emit(inspection_of(0), 2) is Emitted.UNKNOWN
    assert handshake.emit(inspection_of(2), 2) is Emitted.UNKNOWN
    assert handshake.counters.waiting == 1


def test_a_station_that_hangs_past_the_deadline_does_not_look_ready(handshake: Handshake, inspection_of: Inspect) -> None:
    pulse(handshake, 0)
    handshake.take(0)
    status = handshake.status(5 * ALLOWED_NS)
    assert (status.result_code, status.trigger_ready, status.system_busy) == (3, False, True)
    handshake.emit(inspection_of(1), 6 * ALLOWED_NS)
    assert handshake.status(6 * ALLOWED_NS).trigger_ready


def test_a_station_that_asks_for_work_again_is_free(handshake: Handshake) -> None:
    pulse(handshake, 0)
    handshake.take(0)
    assert not handshake.status(2 * ALLOWED_NS).trigger_ready
    assert handshake.take(2 * ALLOWED_NS) is None
    assert handshake.status(2 * ALLOWED_NS).trigger_ready


def test_a_late_trigger_is_still_handed_to_the_station_so_that_its_record_has_it(handshake: Handshake) -> None:
    pulse(handshake, 0)
    request = handshake.take(3 * ALLOWED_NS)
    assert request is not None
    assert request.deadline_ns < 3 * ALLOWED_NS


def test_a_trigger_while_busy_is_missed_and_has_a_fault_of_its_own(handshake: Handshake, inspection_of: Inspect) -> None:
    pulse(handshake, 0)
    status = pulse(handshake, 1)
    assert (status.missed_acquisition, status.trigger_ack, status.acquisition_id) == (True, False, 2)
    assert not status.exposure_complete, "the first part is still being exposed"
    handshake.emit(inspection_of(1), 2)
    read = [acknowledge(handshake, 3) for _ in range(2)]
    assert [(one.result.acquisition, one.result_code, one.result.trouble) for one in read] == [
        (2, 3, Trouble.MISSED),
        (1, 1, Trouble.NONE),
    ]
    assert not handshake.status(3).results_valid


def test_a_missed_trigger_is_handed_to_the_station_for_its_record_and_takes_no_verdict(
    handshake: Handshake, inspection_of: Inspect
) -> None:
    pulse(handshake, 0)
    handshake.take(0)
    pulse(handshake, 7)
    request = handshake.take(9)
    assert request is not None
    assert (request.kind, request.acquisition, request.received_ns, request.deadline_ns) == (RequestKind.MISSED, 2, 7, 7)
    assert handshake.emit(inspection_of(2), 9) is Emitted.UNKNOWN
    assert handshake.take(9) is None


def test_missed_acquisition_goes_out_with_the_next_accepted_trigger(handshake: Handshake, inspection_of: Inspect) -> None:
    pulse(handshake, 0)
    pulse(handshake, 1)
    handshake.take(1)
    handshake.emit(inspection_of(1), 2)
    assert handshake.status(2).missed_acquisition
    assert not pulse(handshake, 3).missed_acquisition


@pytest.mark.parametrize("how", ["starting", "offline", "offline in the same write", "job change in the same write"])
def test_a_trigger_while_not_ready_is_missed(how: str) -> None:
    handshake = Handshake(allowed_ns=ALLOWED_NS)
    handshake.ready(how != "starting")
    handshake.write(Control(trigger_enable=True, set_offline=how == "offline"), 0)
    together = how.endswith("write")
    handshake.write(
        Control(
            trigger_enable=True,
            trigger=True,
            set_offline="offline" in how,
            execute_command=together and "job" in how,
        ),
        1,
    )
    status = handshake.status(1)
    assert (status.missed_acquisition, status.result_code, status.counters.missed) == (True, 3, 1)


def test_offline_tells_who_wants_it(handshake: Handshake) -> None:
    handshake.write(Control(set_offline=True), 0)
    assert handshake.status(0).offline_reason is OfflineReason.PLC
    handshake.ready(False)
    assert handshake.status(0).offline_reason is OfflineReason.STATION
    handshake.ready(True)
    handshake.write(ENABLED, 1)
    assert handshake.status(1).online


def test_an_open_part_survives_offline_and_online_and_keeps_its_deadline(handshake: Handshake, inspection_of: Inspect) -> None:
    pulse(handshake, 0)
    handshake.write(Control(set_offline=True, buffer_results_enable=True), 1)
    handshake.ready(False)
    assert handshake.emit(inspection_of(1), 2) is Emitted.DELIVERED
    handshake.ready(True)
    handshake.write(ENABLED, 3)
    assert acknowledge(handshake, 3).result_code == 1
    assert handshake.counters.delivered == handshake.counters.triggers == 1


def test_a_part_seen_by_the_camera_is_answered_like_a_triggered_one(handshake: Handshake, inspection_of: Inspect) -> None:
    acquisition = handshake.begin(70, 10)
    assert handshake.status(10).system_busy
    assert handshake.emit(inspection_of(acquisition, Verdict.NG), 60) is Emitted.DELIVERED
    assert handshake.status(60).result_code == 2


def test_a_part_seen_by_the_camera_is_fault_at_its_own_deadline(handshake: Handshake) -> None:
    handshake.begin(70, 10)
    assert not handshake.status(69).results_valid
    assert handshake.status(70).result.trouble is Trouble.LATE


def test_the_next_part_of_the_camera_faults_one_that_is_still_open(handshake: Handshake, inspection_of: Inspect) -> None:
    first, second = handshake.begin(70, 10), handshake.begin(80, 20)
    assert handshake.emit(inspection_of(first), 21) is Emitted.LATE
    assert handshake.emit(inspection_of(second), 22) is Emitted.DELIVERED
    read = [acknowledge(handshake, 23) for _ in range(2)]
    assert [(one.result.acquisition, one.result_code) for one in read] == [(first, 3), (second, 1)]
    assert read[0].result.trouble is Trouble.SUPERSEDED


def test_a_part_of_the_camera_does_not_fault_one_of_the_plc(handshake: Handshake, inspection_of: Inspect) -> None:
    pulse(handshake, 0)
    from_camera = handshake.begin(90, 1)
    assert handshake.emit(inspection_of(1), 2) is Emitted.DELIVERED
    assert handshake.emit(inspection_of(from_camera), 2) is Emitted.DELIVERED


def test_two_deadlines_that_passed_unseen_are_answered_in_their_order(handshake: Handshake) -> None:
    pulse(handshake, 0)
    from_camera = handshake.begin(50, 1)
    read = [acknowledge(handshake, 1000) for _ in range(2)]
    assert [one.result.acquisition for one in read] == [from_camera, 1]


def test_the_part_may_move_when_the_station_says_so_or_has_answered(handshake: Handshake, inspection_of: Inspect) -> None:
    pulse(handshake, 0)
    handshake.take(0)
    assert not handshake.status(0).exposure_complete
    handshake.exposed(7)
    assert not handshake.status(0).exposure_complete
    handshake.exposed(1)
    assert handshake.status(0).exposure_complete
    handshake.emit(inspection_of(1), 1)
    pulse(handshake, 2)
    assert not handshake.status(2).exposure_complete


def test_a_job_change_executes_and_completes(handshake: Handshake) -> None:
    command = Control(trigger_enable=True, execute_command=True, job=17)
    handshake.write(command, 9)
    request = handshake.take(9)
    assert request is not None
    assert (request.kind, request.job, request.received_ns) == (RequestKind.JOB_CHANGE, 17, 9)
    status = handshake.status(9)
    assert (status.command_executing, status.trigger_ready, status.online) == (True, True, True)
    assert status.system_busy
    handshake.answer(17, failed=False)
    status = handshake.status(10)
    assert (status.command_executing, status.command_completed, status.current_job) == (False, True, 17)
    handshake.write(ENABLED, 11)
    status = handshake.status(11)
    assert not any((status.command_completed, status.command_failed))
    assert status.trigger_ready


def test_a_trigger_written_together_with_a_job_change_is_missed_and_a_later_one_is_the_running_jobs(handshake: Handshake) -> None:
    handshake.write(Control(trigger_enable=True, buffer_results_enable=True, trigger=True, execute_command=True, job=2), 0)
    assert handshake.status(0).missed_acquisition
    handshake.write(Control(trigger_enable=True, buffer_results_enable=True, execute_command=True, job=2), 0)
    handshake.write(Control(trigger_enable=True, buffer_results_enable=True, trigger=True, execute_command=True, job=2), 0)
    assert handshake.status(0).trigger_ack
    kinds = [request.kind for request in (handshake.take(0), handshake.take(0), handshake.take(0)) if request is not None]
    assert kinds == [RequestKind.JOB_CHANGE, RequestKind.MISSED, RequestKind.TRIGGER]


def test_a_job_that_does_not_run_fails_the_command_and_keeps_the_old_job(handshake: Handshake) -> None:
    handshake.write(Control(execute_command=True, job=17), 0)
    handshake.answer(3, failed=True)
    status = handshake.status(0)
    assert (status.command_failed, status.command_completed, status.current_job, status.error_code) == (True, False, 3, Trouble.JOB_FAILED)


def test_a_second_command_while_one_executes_is_refused_and_the_first_goes_on(handshake: Handshake) -> None:
    handshake.write(Control(execute_command=True, job=1), 0)
    handshake.write(Control(job=2), 1)
    assert handshake.status(1).command_executing
    handshake.write(Control(execute_command=True, job=2), 2)
    status = handshake.status(2)
    assert (status.command_failed, status.error_code) == (True, Trouble.COMMAND_REFUSED)
    request = handshake.take(3)
    assert request is not None
    assert request.job == 1
    assert handshake.take(3) is None
    handshake.answer(1, failed=False)
    assert (handshake.status(4).command_completed, handshake.status(4).command_failed) == (True, False)


def test_a_job_named_without_being_asked_is_shown_and_completes_nothing(handshake: Handshake) -> None:
    handshake.answer(5, failed=False)
    assert (handshake.status(0).current_job, handshake.status(0).command_completed) == (5, False)


def test_clear_error_clears_the_bits_keeps_the_counts_and_asks_the_station_once(handshake: Handshake) -> None:
    pulse(handshake, 0)
    pulse(handshake, 1)
    handshake.take(1)
    for _ in range(3):
        handshake.write(Control(clear_error=True, buffer_results_enable=True), 2)
        handshake.write(ENABLED, 2)
    status = handshake.status(2)
    assert not any((status.error, status.missed_acquisition, status.error_code))
    assert status.counters.missed == 1
    requests = [handshake.take(3), handshake.take(3), handshake.take(3)]
    assert [request and request.kind for request in requests] == [RequestKind.MISSED, RequestKind.RESET, None]


def test_clear_error_clears_the_overrun_bit_and_no_result(handshake: Handshake) -> None:
    handshake.write(Control(trigger_enable=True), 0)
    for now_ns in range(3):
        handshake.begin(now_ns, now_ns)
    assert handshake.status(9).results_buffer_overrun
    handshake.write(Control(clear_error=True), 9)
    status = handshake.status(9)
    assert (status.results_buffer_overrun, status.results_valid, status.counters.overrun) == (False, True, 2)


def test_a_reset_that_waits_before_a_trigger_does_not_free_the_station(handshake: Handshake) -> None:
    handshake.write(Control(trigger_enable=True, clear_error=True), 0)
    handshake.write(TRIGGER, 1)
    kinds = []
    for _ in range(2):
        request = handshake.take(2)
        assert request is not None
        kinds.append(request.kind)
    assert kinds == [RequestKind.RESET, RequestKind.TRIGGER]
    assert handshake.status(3 * ALLOWED_NS).system_busy


def test_the_acknowledgement_of_one_result_never_takes_the_one_that_the_same_write_makes() -> None:
    handshake = Handshake(allowed_ns=ALLOWED_NS)
    handshake.begin(10, 0)
    handshake.write(Control(trigger_enable=True), 20)
    assert handshake.status(20).result.acquisition == 1
    handshake.write(Control(trigger_enable=True, results_ack=True, trigger=True), 21)
    handshake.write(Control(trigger_enable=True), 22)
    status = handshake.status(22)
    assert (status.results_valid, status.result.acquisition, status.counters.delivered) == (True, 2, 1)


def test_the_acknowledgement_of_one_result_never_takes_a_fault_that_was_due_by_then() -> None:
    handshake = Handshake(allowed_ns=ALLOWED_NS)
    handshake.begin(10, 0)
    assert handshake.status(10).result.acquisition == 1
    handshake.begin(20, 10)
    handshake.write(Control(results_ack=True), 25)
    handshake.write(Control(), 26)
    status = handshake.status(26)
    assert (status.result.acquisition, status.results_valid, status.counters.delivered, status.counters.overrun) == (2, True, 1, 0)


def test_a_verdict_for_a_part_of_the_camera_does_not_free_a_station_that_works_on_a_trigger(
    handshake: Handshake, inspection_of: Inspect
) -> None:
    pulse(handshake, 0)
    handshake.take(0)
    from_camera = handshake.begin(5 * ALLOWED_NS, 1)
    handshake.emit(inspection_of(from_camera), 2 * ALLOWED_NS)
    assert not handshake.status(2 * ALLOWED_NS).trigger_ready


def test_the_heartbeat_counts_seconds_and_wraps() -> None:
    handshake = Handshake(allowed_ns=ALLOWED_NS, now_ns=7)
    beats = [handshake.status(7 + seconds * SECOND_NS).heartbeat for seconds in (0, 1, 2, 65_535, 65_536)]
    assert beats == [0, 1, 2, 65_535, 0]
    assert handshake.status(6 + SECOND_NS).heartbeat == 0


def test_golden_parts_that_are_due_are_an_error_that_ends_by_itself_and_hides_no_other(handshake: Handshake) -> None:
    handshake.notice(Notices(challenge_due=True))
    assert (handshake.status(0).error, handshake.status(0).error_code) == (True, Trouble.CHALLENGE)
    handshake.notice(Notices(challenge_due=True, challenge_running=True))
    assert handshake.status(0).notices.challenge_running
    handshake.notice(Notices())
    assert (handshake.status(0).error, handshake.status(0).error_code) == (False, Trouble.NONE)
    handshake.notice(Notices(challenge_due=True))
    handshake.ready(False)
    pulse(handshake, 1)
    assert handshake.status(1).error_code is Trouble.MISSED
    handshake.notice(Notices())
    assert handshake.status(1).error_code is Trouble.MISSED
