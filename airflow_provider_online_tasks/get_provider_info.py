"""The provider's metadata, as Airflow wants it. Only data: Airflow reads it while it starts."""

from __future__ import annotations

from typing import Any

# Airflow's form shows the fields of a section together, and those without one as "Extra Fields".
_NETWORK = "Network and limits"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata."""
    return {
        "package-name": "airflow-provider-online-tasks",
        "name": "Arize online tasks",
        "description": "Create Arize AX online evaluation tasks, run them over a window of spans, wait, and "
        "act on the result.",
        "versions": ["0.1.0"],
        "integrations": [
            {
                "integration-name": "Arize AX",
                "external-doc-url": "https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": "Arize AX",
                "python-modules": [
                    "airflow_provider_online_tasks.operators.eval_tasks",
                    "airflow_provider_online_tasks.operators.evaluators",
                    "airflow_provider_online_tasks.operators.gate",
                    "airflow_provider_online_tasks.operators.results",
                    "airflow_provider_online_tasks.operators.runs",
                    "airflow_provider_online_tasks.operators.spans",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": "Arize AX",
                "python-modules": ["airflow_provider_online_tasks.sensors.runs"],
            }
        ],
        "hooks": [
            {
                "integration-name": "Arize AX",
                "python-modules": ["airflow_provider_online_tasks.hooks.online_tasks"],
            }
        ],
        "triggers": [
            {
                "integration-name": "Arize AX",
                "python-modules": [
                    "airflow_provider_online_tasks.triggers.runs",
                    "airflow_provider_online_tasks.triggers.task_runs",
                ],
            }
        ],
        # https://airflow.apache.org/docs/apache-airflow-providers/howto/create-custom-providers.html
        "cli": ["airflow_provider_online_tasks.cli.get_commands"],
        "notifications": [
            "airflow_provider_online_tasks.notifications.eval_gate.EvalGateNotifier",
        ],
        "connection-types": [
            {
                "connection-type": "arize_online_tasks",
                "hook-class-name": "airflow_provider_online_tasks.hooks.online_tasks.OnlineTasksHook",
                "hook-name": "Arize online tasks",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema", "extra"],
                    "relabeling": {"host": "Host (on-premises)", "password": "API key"},
                    "placeholders": {
                        "host": "empty for Arize's cloud; its region is chosen below",
                        # https://github.com/apache/airflow/pull/73298
                        "port": "443 (Airflow 3.3.2 tests only connections with a port)",
                        "password": "of a user with developer permission",
                    },
                },
                "conn-fields": {
                    "region": {
                        "label": "Region",
                        "description": "Data region of the account; one that is not suggested can be typed. "
                        "Default: us. Leave it empty if a host is given.",
                        "schema": {
                            "type": ["string", "null"],
                            "default": None,
                            # Suggestions, where an enum would allow no region that is newer than this list.
                            "examples": ["us", "eu-west-1a", "ca-central-1a", "us-central-1a", "us-east-1b"],
                        },
                    },
                    "model_id": {
                        "label": "Project ID",
                        "description": "For DAGs that read the project (model_id) from the connection, and "
                        "for links into Arize.",
                        "schema": {"type": ["string", "null"], "default": None},
                    },
                    "organization_id": {
                        "label": "Organisation ID",
                        "description": "For links into Arize. Default: asked for when it is needed.",
                        "schema": {"type": ["string", "null"], "default": None},
                    },
                    "space_id": {
                        "label": "Space ID",
                        "description": "For links into Arize. Default: asked for when it is needed.",
                        "schema": {"type": ["string", "null"], "default": None},
                    },
                    "index_delay_minutes": {
                        "label": "Index delay (minutes)",
                        "description": "How long after its window ends a run starts, so that Arize has "
                        "indexed all spans. Default: 120.",
                        "schema": {"type": ["number", "null"], "default": None, "minimum": 0},
                    },
                    "rest_host": {
                        "label": "REST host",
                        "description": "Only if REST is served by another host than GraphQL.",
                        "schema": {"type": ["string", "null"], "default": None, "section": _NETWORK},
                    },
                    "timeout": {
                        "label": "Timeout",
                        "description": "Seconds to wait for a connection, and for each part of an answer. "
                        "Default: 30.",
                        "schema": {"type": ["number", "null"], "default": None, "section": _NETWORK},
                    },
                    "verify": {
                        "label": "Verify TLS",
                        "description": "Whether TLS certificates are verified.",
                        "schema": {"type": ["boolean", "null"], "default": True, "section": _NETWORK},
                    },
                    "ca_bundle": {
                        "label": "CA bundle",
                        "description": "Path of a file with the certificates to verify by. Default: the "
                        "system's.",
                        "schema": {"type": ["string", "null"], "default": None, "section": _NETWORK},
                    },
                    "proxy": {
                        "label": "Proxy",
                        "description": "URL of a proxy, such as http://proxy.example.com:3128. Default: what "
                        "the environment says.",
                        "schema": {"type": ["string", "null"], "default": None, "section": _NETWORK},
                    },
                    "requests_per_minute": {
                        "label": "Requests per minute",
                        "description": "Budget that all waits of a triggerer share. Default: 60.",
                        "schema": {
                            "type": ["integer", "null"],
                            "default": None,
                            "minimum": 1,
                            "section": _NETWORK,
                        },
                    },
                    "sampling_rate_unit": {
                        "label": "Unit of sampling_rate",
                        "description": "What the server understands; percent is for older servers.",
                        "schema": {
                            "type": ["string", "null"],
                            "default": "fraction",
                            "enum": ["fraction", "percent"],
                            "section": _NETWORK,
                        },
                    },
                },
            }
        ],
        "extra-links": [
            "airflow_provider_online_tasks.ui.links.EvaluatorLink",
            "airflow_provider_online_tasks.ui.links.OnlineTaskRunLink",
            "airflow_provider_online_tasks.ui.links.ProjectLink",
        ],
    }
