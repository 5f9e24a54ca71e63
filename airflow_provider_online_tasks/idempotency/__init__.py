"""Create something once, although Arize's requests have no idempotency key.

:mod:`~airflow_provider_online_tasks.idempotency.records` stores what an execution is about to request, and
:mod:`~airflow_provider_online_tasks.idempotency.create_once` sends the request and recovers a lost response.
Runs, eval tasks, evaluator versions and sent spans use it.
"""
