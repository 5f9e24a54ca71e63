"""The Evals page in Airflow's UI: the history of each evaluator, from records that operators push to XCom.

``results.history`` has the records, ``reads`` all queries to Airflow's database, ``histories`` and ``views``
what is shown, ``app`` the server of the page, ``plugin`` its registration in the UI, and ``www`` the files
for the browser.
"""
