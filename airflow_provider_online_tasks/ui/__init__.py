"""What people see of Arize in Airflow's UI."""
