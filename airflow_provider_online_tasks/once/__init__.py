"""Never two for one: one operator execution makes one run, one task, one evaluator version.

None of the calls that make something has an idempotency key. What they have in common is here:

- :mod:`~airflow_provider_online_tasks.once.record`: what an execution writes down before it asks;
- :mod:`~airflow_provider_online_tasks.once.look_up`: asking, and what happens when the answer is lost;
- :mod:`~airflow_provider_online_tasks.once.run` and
  :mod:`~airflow_provider_online_tasks.once.eval_task`: how a run, and a task, is recognised, and when one of
  an earlier try will do.
"""
