"""Which tests show what docs/reliability.md promises.

By section, and the start of a row or sentence. A test is named by its module under tests/ and its function.
"""

from __future__ import annotations

ONCE = "unit/runs/submission/"
WAITING = "unit/runs/polling/"
API = "unit/api/"
EVENTS = "integration/events/"
LIVE = "live/test_live_waiting.py::"
CLUSTER = "cluster/test_cluster_"

FAULTS = f"{ONCE}test_faults.py::"
KILLED = f"{ONCE}test_killed.py::"
TRIES = f"{ONCE}test_tries.py::"
REFUSALS = f"{ONCE}test_refusals.py::"
ENDED = f"{ONCE}test_ended_processes.py::"
SUPERVISOR = f"{ONCE}test_supervisor.py::"
DEFERRED = f"{ONCE}test_deferred.py::"
POLLER = f"{WAITING}test_poller.py::"
SENSOR = "unit/sensors/test_runs.py::"
TRIGGER = "unit/triggers/test_runs.py::"
KILLS = f"{WAITING}test_cancellation.py::"
CROWD = f"{WAITING}test_crowd.py::"
HOSTILE = f"{WAITING}test_hostile.py::"
WATCH = f"{EVENTS}test_watch_is_bounded.py::"
EVALUATORS = "unit/evaluators/test_versions.py::"

Promises = dict[str, tuple[str, ...]]

PROMISES: dict[str, Promises] = {
    "What was tried": {
        "each fault alone at each point of a submission": (
            f"{FAULTS}test_not_carried_out",
            f"{FAULTS}test_not_reached",
            f"{FAULTS}test_carried_out_and_the_answer_lost",
            f"{FAULTS}test_not_carried_out_but_nobody_says_so",
            f"{FAULTS}test_a_time_out_after_the_server_acted",
            f"{FAULTS}test_a_time_out_before_the_server_acted",
        ),
        "a process killed with SIGKILL": (
            f"{KILLED}test_before_sending",
            f"{KILLED}test_after_sending",
            f"{KILLED}test_after_the_answer_and_before_the_id_was_stored",
            f"{KILLED}test_after_storing",
            f"{KILLED}test_while_waiting",
        ),
        "random schedules": (f"{ONCE}test_schedules.py::test_one_run_and_none_lost",),
        "a whole Airflow deployment": (
            f"{LIVE}test_a_worker_that_dies_while_its_task_waits",
            f"{LIVE}test_a_triggerer_that_dies_while_tasks_are_deferred",
            f"{LIVE}test_a_waiting_task_that_a_person_marks_failed",
            f"{LIVE}test_a_task_that_is_cleared_after_it_succeeded",
        ),
        "[a deployment with PostgreSQL": (
            f"{CLUSTER}deaths.py::test_everything_dies_in_turn_while_runs_are_submitted_and_waited_for",
        ),
    },
    "What is guaranteed": {
        "One **execution** of": (
            f"{ONCE}test_schedules.py::test_one_run_and_none_lost",
            f"{TRIES}test_two_executions_are_told_apart",
        ),
        "The request certainly was not carried out": (
            f"{FAULTS}test_not_carried_out",
            f"{FAULTS}test_not_reached",
            f"{FAULTS}test_over_the_limit_for_a_while",
        ),
        "401, 403, refused input": (
            f"{FAULTS}test_not_carried_out",
            "unit/runs/test_end_states.py::test_what_a_retry_cannot_mend_is_not_retried",
        ),
        "`TaskError`": (
            f"{FAULTS}test_not_carried_out",
            "unit/runs/submission/test_endings.py::test_any_other_task_error",
        ),
        "The request may have been carried out": (
            f"{FAULTS}test_carried_out_and_the_answer_lost",
            f"{FAULTS}test_not_carried_out_but_nobody_says_so",
            f"{FAULTS}test_a_time_out_before_the_server_acted",
            f"{FAULTS}test_given_up_after_three_requests",
        ),
        "Whether it was carried out cannot be found out either": (
            f"{FAULTS}test_whether_it_was_carried_out_cannot_be_found_out",
        ),
        "The process is killed before the run's ID is stored": (
            f"{KILLED}test_after_sending",
            f"{KILLED}test_after_the_answer_and_before_the_id_was_stored",
            f"{LIVE}test_a_worker_that_dies_before_it_hears_that_the_run_was_created",
        ),
        "The process is killed while it waits": (
            f"{KILLED}test_while_waiting",
            f"{LIVE}test_a_worker_that_dies_while_its_task_waits",
            f"{LIVE}test_a_triggerer_that_dies_while_tasks_are_deferred",
        ),
        "The success report is lost": (
            f"{TRIES}test_a_retry_after_a_lost_success_report_takes_the_same_run",
            f"{TRIES}test_a_retry_after_a_lost_success_report_of_a_wait",
            f"{KILLED}test_with_the_success_marked_and_not_reported",
        ),
        "The stored run failed, was cancelled, or is gone": (
            f"{TRIES}test_a_retry_starts_anew_after_a_run_that_ended_badly",
            f"{FAULTS}test_a_known_run_is_gone",
            f"{FAULTS}test_a_known_run_that_the_list_still_shows_is_not_gone",
        ),
        "Arize refuses to show the stored run": (
            f"{FAULTS}test_a_known_run_cannot_be_read",
            f"{FAULTS}test_a_known_run_and_its_task_that_are_refused_may_go_on",
        ),
        "While it waits, Arize refuses to show the run": (
            f"{REFUSALS}test_a_hiccup_does_not_end_a_wait",
            f"{REFUSALS}test_a_steady_refusal_fails_the_try_and_the_next_takes_the_run_up",
            f"{REFUSALS}test_the_timeout_is_kept_and_cancels_though_the_run_is_not_shown",
            f"{POLLER}test_a_run_that_may_not_be_read_ends_its_own_wait_alone",
            f"{POLLER}test_a_refused_key_ends_all_its_waits_once_it_is_certain",
        ),
        "While it waits, the key is rotated": (
            f"{REFUSALS}test_a_rotated_key_is_picked_up_within_the_try",
            f"{SENSOR}test_a_rotated_key_is_picked_up",
            f"{CROWD}test_a_rotated_key_is_picked_up_while_waits_go_on",
        ),
        "A person marks the waiting task failed": (
            f"{LIVE}test_a_waiting_task_that_a_person_marks_failed",
            f"{ENDED}test_a_task_that_somebody_ended_cancels_its_run",
            f"{KILLS}test_a_task_that_was_ended_or_cleared_cancels_its_run",
            f"{SUPERVISOR}test_a_person_ends_the_task",
        ),
        "Airflow's API server is away": (
            f"{SUPERVISOR}test_an_outage_of_the_api_server_ends_the_process",
            f"{ENDED}test_a_task_that_goes_on_elsewhere_leaves_its_run_to_the_next_try",
            f"{ENDED}test_an_airflow_that_cannot_be_asked_cancels_nothing",
            f"{CLUSTER}deaths.py::test_airflows_own_api_is_away_while_a_task_waits_in_a_worker",
        ),
        "The task is cleared after it succeeded": (
            f"{TRIES}test_clearing_after_success_starts_anew",
            f"{TRIES}test_clearing_after_success_while_the_run_goes_on",
            f"{LIVE}test_a_task_that_is_cleared_after_it_succeeded",
        ),
        "The task is cleared while it waits": (
            f"{TRIES}test_clearing_while_the_task_waits",
            f"{TRIES}test_a_cancellation_that_comes_after_the_next_try_began",
            f"{DEFERRED}test_a_clear_whose_cancellation_comes_late_starts_a_new_run",
            f"{LIVE}test_a_task_that_is_cleared_while_it_waits",
            f"{LIVE}test_a_task_that_is_cleared_while_it_is_deferred",
        ),
        "The DAG was changed between two tries": (
            f"{TRIES}test_another_window",
            f"{TRIES}test_another_task",
        ),
    },
    "How": {
        "Before the mutation, the operator reads": (
            f"{FAULTS}test_no_fault",
            f"{TRIES}test_a_run_that_was_there_before_is_not_taken",
            f"{TRIES}test_with_more_runs_than_a_page_an_old_run_over_the_same_window_is_not_taken",
            f"{TRIES}test_a_server_whose_clock_is_wrong",
            f"{TRIES}test_a_clock_set_forward_does_not_cut_the_look_short",
        ),
        "The minute for a lost run to appear": (
            f"{TRIES}test_the_time_to_appear_counts_from_the_last_request",
            f"{TRIES}test_the_time_to_appear_counts_from_a_request_that_the_rate_limit_delayed",
            f"{TRIES}test_another_window_and_back",
            f"{TRIES}test_a_refused_request_does_not_make_an_earlier_run_unknown",
            f"{TRIES}test_of_two_runs_that_may_be_the_lost_one_that_which_goes_on_is_taken",
        ),
        "When the execution succeeds, the record is marked": (
            f"{TRIES}test_clearing_after_success_starts_anew",
            f"{TRIES}test_a_retry_after_a_lost_success_report_takes_the_same_run",
        ),
        "The request body knows whether it was handed": (
            f"{API}test_no_answer.py::test_connection_refused",
            f"{API}test_no_answer.py::test_connecting_takes_too_long",
            f"{API}test_no_answer.py::test_the_answer_takes_too_long",
        ),
        "**Evaluators.**": (
            f"{EVALUATORS}test_the_same_content_makes_no_second_version_on_any_day",
            f"{EVALUATORS}test_a_try_that_was_killed_while_it_asked",
        ),
    },
    "Before Airflow 3.3": {
        "There is no task state store": (f"{TRIES}test_older_a_retry_takes_the_live_run_up",),
        "a retry": (
            f"{TRIES}test_older_a_retry_takes_the_live_run_up",
            f"{TRIES}test_older_a_retry_after_a_failed_run_starts_anew",
            f"{TRIES}test_older_a_run_from_before_the_dag_run_is_not_taken",
        ),
        "the first one after the task was cleared": (
            f"{TRIES}test_older_a_cleared_task_starts_a_new_run",
            f"{TRIES}test_older_a_cleared_task_takes_a_run_that_goes_on",
        ),
        "Therefore another task that runs the same online task": (
            f"{TRIES}test_older_a_live_run_goes_before_one_that_is_over",
            f"{TRIES}test_older_a_retry_after_a_clear_looks_at_the_newest_run",
        ),
        "Airflow 3.0 resumes the retry of a deferred task": (
            f"{DEFERRED}test_a_retry_that_is_resumed_with_the_event_of_the_try_before_starts_a_new_run",
        ),
        "There is no kill hook for triggers either": (
            f"{TRIGGER}test_a_run_that_never_ends_meets_the_deadline",
            f"{DEFERRED}test_a_deadline_that_passed_cancels_the_run",
        ),
    },
    "Waiting": {
        "All waits of a triggerer on the same host": (
            f"{POLLER}test_runs_of_one_task_are_read_together",
            f"{POLLER}test_two_arizes_share_neither_budget_nor_session",
            f"{POLLER}test_two_keys_of_one_host_do_not_share_either",
            f"{POLLER}test_the_first_look_is_at_once_and_the_next_after_the_interval",
            f"{POLLER}test_a_short_budget_stretches_all_intervals_alike",
            f"{CROWD}test_the_log_says_that_the_budget_makes_reads_late",
        ),
        "429": (
            f"{POLLER}test_a_rate_limit_pauses_everything_for_as_long_as_it_asks",
            f"{WAITING}test_endpoint_state.py::test_it_is_asked_again_when_it_says_so_within_five_minutes",
            f"{WAITING}test_endpoint_state.py::test_a_rate_limit_that_goes_on_is_asked_once_a_minute",
            f"{WAITING}test_budget.py::test_a_refusal_lowers_the_rate_to_less_than_what_was_sent",
        ),
        "no answer, 5xx": (
            f"{WAITING}test_endpoint_state.py::test_an_outage_is_asked_less_and_less_often_but_twice_a_minute",
            f"{POLLER}test_a_long_outage_is_sat_out",
            f"{TRIGGER}test_the_deadline_holds_while_nothing_can_be_read",
        ),
        "an answer that is not whole within": (
            f"{HOSTILE}test_an_answer_that_trickles_in_is_given_up_after_the_time_of_a_whole_one",
            f"{HOSTILE}test_slow_answers_do_not_take_all_places",
        ),
        "401": (
            f"{CROWD}test_a_rotated_key_is_picked_up_while_waits_go_on",
            f"{CROWD}test_while_a_key_stays_refused_its_connection_is_looked_up_now_and_then",
            f"{POLLER}test_a_refused_key_ends_all_its_waits_once_it_is_certain",
            f"{CLUSTER}keys.py::test_waits_go_on_with_a_new_key",
        ),
        "403, 404 or 400 for a run": (
            f"{POLLER}test_a_run_that_does_not_exist_ends_its_own_wait_alone",
            f"{POLLER}test_a_run_that_may_not_be_read_ends_its_own_wait_alone",
        ),
        "an answer about a run that cannot be read": (
            f"{POLLER}test_a_malformed_run_ends_its_own_wait_alone",
            f"{HOSTILE}test_any_answer_harms_at_most_its_own_wait",
        ),
        "A wait that ends like this raises": (
            f"{SENSOR}test_a_wait_that_failed_can_be_retried",
            f"{DEFERRED}test_a_wait_that_failed_leaves_the_run_to_a_retry",
            f"{HOSTILE}test_every_event_can_be_sent_and_stored",
            f"{HOSTILE}test_any_answer_harms_at_most_its_own_wait",
        ),
        "At the deadline the run is read once more": (
            f"{TRIGGER}test_at_the_deadline_the_run_is_looked_at_once_more",
            f"{TRIGGER}test_no_event_comes_before_the_scheduler_has_noted_the_deferral",
            f"{DEFERRED}test_a_deadline_that_passed_cancels_the_run",
            f"{SENSOR}test_the_end_of_its_time_is_a_sensor_timeout",
            f"{WAITING}test_events.py::test_an_event_that_cannot_be_relied_on_is_an_error",
        ),
        "The sensor looks at the run before it defers": (
            f"{SENSOR}test_a_run_that_is_over_needs_no_triggerer",
            f"{SENSOR}test_it_never_cancels",
            f"{SENSOR}test_it_pauses_for_as_long_as_arize_asks",
            f"{SENSOR}test_steady_refusal_ends_it_after_five_minutes_so_that_a_retry_can_go_on",
            f"{SENSOR}test_refusals_are_remembered_between_the_processes_of_the_mode_reschedule",
            f"{SENSOR}test_without_a_store_a_refusal_fails_the_mode_reschedule_for_a_retry",
            "unit/runs/test_end_states.py::test_every_bad_end_has_a_final_form",
        ),
    },
    "Several triggerers": {
        "Leave `requests_per_minute` as it is": (
            f"{CROWD}test_two_triggerers_and_ten_sensors_meet_no_more_than_a_refusal_a_minute",
            f"{WAITING}test_budget.py::test_a_refusal_lowers_the_rate_to_less_than_what_was_sent",
            f"{WAITING}test_budget.py::test_the_rate_is_raised_slowly_and_not_above_the_limit",
            f"{CLUSTER}crowd.py::test_waits_of_two_triggerers_and_sensors_in_workers",
        ),
    },
    "When a person ends a waiting task": {
        "Marking a deferred task failed or successful": (
            f"{KILLS}test_a_task_that_was_ended_or_cleared_cancels_its_run",
            f"{CLUSTER}kills.py::test_deferred_tasks_that_are_marked_failed_at_once",
        ),
        "failed, success, skipped, deleted": (
            f"{KILLS}test_a_task_that_was_ended_or_cleared_cancels_its_run",
            f"{KILLS}test_a_deleted_dag_run_cancels_its_run",
        ),
        "deferred: another triggerer": (
            f"{KILLS}test_a_task_that_another_triggerer_has_taken_over_keeps_its_run",
        ),
        "any, if the task runs in one process": (
            f"{KILLS}test_a_dag_that_is_tested_beside_a_triggerer_keeps_its_run",
            f"{CLUSTER}dag_test.py::test_it_does_not_cancel_its_own_run",
        ),
        "Airflow does not answer for 22 s": (
            f"{KILLS}test_while_airflow_does_not_say_the_run_goes_on_and_the_log_says_so",
        ),
        "However many tasks are ended at once": (
            f"{KILLS}test_however_many_are_ended_at_once_all_their_runs_are_cancelled",
            f"{KILLS}test_neither_faults_nor_slowness_leave_a_run_alive",
            f"{KILLS}test_kills_share_a_session_and_go_before_polls",
            f"{KILLS}test_of_a_thousand_at_once_as_many_are_cancelled_as_may_be_and_others_said_to_go_on",
            f"{KILLS}test_a_hanging_cancellation_is_given_up_in_time",
        ),
        "`cancel_on_kill=False` leaves the run alone": (
            f"{TRIGGER}test_the_run_goes_on_where_that_is_wanted",
            f"{TRIES}test_on_kill_can_be_told_to_leave_the_run",
            f"{LIVE}test_a_task_marked_failed_that_is_not_to_cancel",
        ),
    },
    "Watching for finished runs": {
        "`FinishedRunsTrigger` never ends": (
            f"{EVENTS}test_task_runs_trigger.py::test_the_watch_outlasts_errors_and_misses_nothing",
            f"{WATCH}test_a_cursor_that_repeats_is_followed_once",
            f"{WATCH}test_a_list_without_end_ends_the_look",
            f"{WATCH}test_an_answer_that_does_not_come_is_given_up_and_said",
            f"{WATCH}test_watchers_leave_waits_two_thirds_of_the_budget",
            f"{WAITING}test_budget.py::test_those_who_want_more_than_the_share_take_turns",
        ),
    },
    "On a deployment": {
        "While 12 deferred and 4 blocking tasks submit and wait": (
            f"{CLUSTER}deaths.py::test_everything_dies_in_turn_while_runs_are_submitted_and_waited_for",
        ),
        "Arize is away for two minutes": (f"{CLUSTER}deaths.py::test_arize_is_away_while_tasks_wait",),
        "The API server is away until": (
            f"{CLUSTER}deaths.py::test_airflows_own_api_is_away_while_a_task_waits_in_a_worker",
        ),
        "1, 30 and 60 deferred tasks": (
            f"{CLUSTER}kills.py::test_deferred_tasks_that_are_marked_failed_at_once",
        ),
        "A cancellation is answered with 503": (
            f"{CLUSTER}kills.py::test_a_cancellation_that_meets_an_error_is_repeated",
        ),
        "`airflow dags test` runs beside": (f"{CLUSTER}dag_test.py::test_it_does_not_cancel_its_own_run",),
        "Answers about one of six runs": (f"{CLUSTER}answers.py::test_an_answer_that_nobody_expects",),
        "A key is rotated while tasks wait": (f"{CLUSTER}keys.py::test_waits_go_on_with_a_new_key",),
        "12 and 60 submissions start at once": (f"{CLUSTER}crowd.py::test_submissions_at_once",),
        "60 waits on two triggerers": (
            f"{CLUSTER}crowd.py::test_waits_of_two_triggerers_and_sensors_in_workers",
        ),
    },
    "At scale": {
        "Measured against the emulator": (f"{WAITING}test_scale.py::test_a_hundred_waits_on_each_task",),
    },
}

# What these sections say is explanation, or what does not hold.
NO_PROMISES = {
    "Reliability",
    "What Airflow itself cannot do",
    "What remains ambiguous",
}
# Paragraphs that introduce a table or a list, or say how the tests are run.
INTRODUCTIONS = (
    "All against the emulator's own record",
    "`idempotency/create_once.py` is the code",
    "`make cluster` starts PostgreSQL and Redis",
    "Airflow's settings",
    "The first minute begins when all 70 wait.",
)
