"""Labels by people: create annotation queues, and wait until their records are completed.

``results/sending.py`` adds spans to a queue.
"""
