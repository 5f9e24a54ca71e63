"""The provider's metadata, as Airflow expects it. No imports: Airflow reads it while it starts."""

from __future__ import annotations

from typing import Any

_INTEGRATION = "Arize AX"


def _modules(package: str, *names: str) -> list[dict[str, Any]]:
    modules = [f"airflow_provider_online_tasks.{package}.{name}" for name in names]
    return [{"integration-name": _INTEGRATION, "python-modules": modules}]


def _field(label: str, description: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    schema = {"type": [kind, "null"], "default": None, **schema}
    return {"label": label, "description": description, "schema": schema}


def _network_field(label: str, description: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    # Airflow's form shows the fields of a section together, and those without one as "Extra Fields".
    return _field(label, description, kind, section="Network and limits", **schema)


_CONNECTION_FIELDS = {
    "region": _field(
        "Region",
        "Data region of the account; one that is not suggested can be typed. Default: us. "
        "Leave it empty if a host is set.",
        # Suggestions: an enum would allow no region that is newer than this list.
        examples=["us", "eu-west-1a", "ca-central-1a", "us-central-1a", "us-east-1b"],
    ),
    "model_id": _field(
        "Project ID",
        "For DAGs that read the project (model_id) from the connection, and for links into Arize.",
    ),
    "organization_id": _field(
        "Organisation ID", "For links into Arize. Default: requested when it is needed."
    ),
    "space_id": _field("Space ID", "For links into Arize. Default: requested when it is needed."),
    "index_delay_minutes": _field(
        "Index delay (minutes)",
        "How long after its window ends a run starts, so that Arize has indexed all spans. Default: 120.",
        "number",
        minimum=0,
    ),
    "prices": _field(
        "Prices of models",
        'For cost estimates, per million tokens: {"gpt-4o": {"input": 2.5, "output": 10}}. '
        "Default: those of genai-prices, if it is installed.",
    ),
    "rest_host": _network_field("REST host", "Only if REST is served by another host than GraphQL."),
    "timeout": _network_field(
        "Timeout", "Seconds to wait for a connection, and for each part of a response. Default: 30.", "number"
    ),
    "verify": _network_field("Verify TLS", "Whether TLS certificates are verified.", "boolean", default=True),
    "ca_bundle": _network_field(
        "CA bundle", "Path of a file with the certificates to verify with. Default: the system's."
    ),
    "proxy": _network_field(
        "Proxy", "URL of a proxy, such as http://proxy.example.com:3128. Default: from the environment."
    ),
    "requests_per_minute": _network_field(
        "Requests per minute",
        "Budget that all waits of a triggerer share. Default: 60.",
        "integer",
        minimum=1,
    ),
    "sampling_rate_unit": _network_field(
        "Unit of sampling_rate",
        "What the server understands; percent is for older servers.",
        default="fraction",
        enum=["fraction", "percent"],
    ),
}


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
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api",
                "tags": ["service"],
            }
        ],
        "operators": _modules(
            "operators",
            "annotation_queues",
            "eval_tasks",
            "estimates",
            "evaluators",
            "gate",
            "results",
            "runs",
            "spans",
        ),
        "sensors": _modules("sensors", "annotation_queues", "runs"),
        "hooks": _modules("hooks", "online_tasks"),
        "triggers": _modules("triggers", "annotation_queues", "runs", "task_runs"),
        # https://airflow.apache.org/docs/apache-airflow-providers/howto/create-custom-providers.html
        "cli": ["airflow_provider_online_tasks.cli.get_commands"],
        "notifications": ["airflow_provider_online_tasks.notifications.eval_gate.EvalGateNotifier"],
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
                "conn-fields": _CONNECTION_FIELDS,
            }
        ],
        "extra-links": [
            f"airflow_provider_online_tasks.ui.links.{name}"
            for name in ("EvaluatorLink", "OnlineTaskRunLink", "ProjectLink")
        ],
    }
