"""The Evals page in Airflow's own UI: the history of each evaluator, from what the operators leave in XCom.

``records`` is what the operators push and the page reads, ``reads`` every query to Airflow's database,
``app`` the page's server, ``plugin`` its place in the UI, and ``www`` what the browser loads.
"""
