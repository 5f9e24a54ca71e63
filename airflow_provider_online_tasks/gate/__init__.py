"""The gate: rules, statistics, verdict and report over a summary of results. Imports no Airflow."""
