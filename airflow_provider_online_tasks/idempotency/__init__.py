"""Create something exactly once, although Arize's API has no idempotency keys.

Runs, eval tasks, evaluator versions and sent spans share one mechanism:

1. Write the intent: what is about to be requested, and when (:mod:`.intents`).
2. Check that this try is current: Airflow rejects the write if it is not.
3. Send the request (:mod:`.create_once`).
4. Store the ID of what was created.
5. If the response is lost, search before repeating the request; the next try searches first, too.

``docs/reliability.md`` lists the guarantees.
"""
