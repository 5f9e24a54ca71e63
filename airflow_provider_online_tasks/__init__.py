"""Apache Airflow provider for Arize AX online evaluation tasks."""

__version__ = "0.1.0"
