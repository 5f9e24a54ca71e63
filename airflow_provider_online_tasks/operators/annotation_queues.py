"""Create the annotation queue where people label spans.

API: https://arize.com/docs/api-reference/annotation-queues
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.inputs.templating import is_templated, key_problem
from airflow_provider_online_tasks.operators.base import OnlineTasksOperator

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

AssignmentMethod = Literal["all", "random"]
LONGEST_NAME = 255
LONGEST_INSTRUCTIONS = 5_000


class AnnotationQueueOperator(OnlineTasksOperator):
    """Create an annotation queue, and the annotation config of its labels, and return the queue's ID.

    A queue and a config whose names exist in the space are used as they are, so the operator can run every
    week. A retry or a lost response creates neither a second queue nor a second config. An existing config
    with other labels is an error, and so is an existing queue without the config.

    :param name: name of the queue, unique in its space. (templated)
    :param annotation: name of the annotation config, unique in its space. It is the name of the annotations
        that people add to spans. (templated)
    :param labels: the labels that people can choose, at least two, or a dict with the score of each label.
        Use those of the evaluator. (templated)
    :param annotator_emails: email addresses of the Arize users who label the records. (templated)
    :param instructions: what the people who label should know, at most 5,000 characters. (templated)
    :param assignment_method: ``all`` assigns each record to every annotator, ``random`` to one of them.
        Default ``all``.
    :param space_id: global ID of the space. Default: the connection's, or that of the connection's project.
        (templated)
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong (a literal one when the DAG is parsed), or a config or queue of
        this name exists and doesn't fit.
    :raises CallError: Arize rejected a request or could not be reached.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {"labels": "json", "annotator_emails": "json"}

    def __init__(
        self,
        *,
        name: str | XComArg,
        annotation: str | XComArg,
        labels: Sequence[str] | Mapping[str, float] | XComArg,
        annotator_emails: Sequence[str] | XComArg,
        instructions: str | XComArg | None = None,
        assignment_method: AssignmentMethod = "all",
        space_id: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.annotation = annotation
        self.labels = labels
        self.annotator_emails = annotator_emails
        self.instructions = instructions
        self.assignment_method = arguments.choice(
            assignment_method, "assignment_method", get_args(AssignmentMethod)
        )
        self.space_id = space_id
        if isinstance(labels, Mapping) and (problem := key_problem(labels)):
            raise InvalidInput(f"labels {problem}")
        for argument, read in _READERS.items():
            value = getattr(self, argument)
            if not is_templated(value):
                read(value)

    template_fields: Sequence[str] = (
        "conn_id",
        *arguments.argument_names(__init__, besides={"assignment_method"}),
    )

    def execute(self, context: Context) -> str:
        """Find or create the config, then the queue."""
        from airflow_provider_online_tasks.annotations.creation import ConfigCreation, QueueCreation

        values = {argument: read(getattr(self, argument)) for argument, read in _READERS.items()}
        with self.hook as hook:
            space_id = values["space_id"] or hook.find_space()
            common: dict[str, Any] = {"hook": hook, "context": context, "log": self.log}
            config_fields = {
                "name": values["annotation"],
                "space_id": space_id,
                "annotation_config_type": "CATEGORICAL",
                "values": values["labels"],
            }
            config = ConfigCreation(fields=config_fields, **common).run()
            queue_fields = {
                "name": values["name"],
                "space_id": space_id,
                "annotation_config_ids": [config.id],
                "annotator_emails": values["annotator_emails"],
                "assignment_method": self.assignment_method.upper(),
            }
            if values["instructions"] is not None:
                queue_fields["instructions"] = values["instructions"]
            return QueueCreation(fields=queue_fields, **common).run().id


def _read_short(name: str, longest: int, value: Any) -> str:
    text = arguments.read_name(value, name)
    if len(text) > longest:
        raise InvalidInput(f"{name} has {len(text)} characters. At most {longest} are allowed.")
    return text


def _read_instructions(value: Any) -> str | None:
    text = arguments.read_optional_name(value, "instructions")
    return None if text is None else _read_short("instructions", LONGEST_INSTRUCTIONS, text)


def _read_space_id(value: Any) -> str | None:
    text = arguments.read_optional_name(value, "space_id")
    return None if text is None else arguments.read_id(text, "space_id")


def _read_values(labels: Any) -> list[dict[str, Any]]:
    """Return the labels with their scores, as the request has them."""
    scores = labels if isinstance(labels, Mapping) else {}
    such_as = '["correct", "incorrect"] or {"correct": 1, "incorrect": 0}'
    names = arguments.read_names(list(labels) if scores else labels, "labels", such_as=such_as)
    if len(names) < 2 or len(set(names)) < len(names):
        raise InvalidInput(f"labels must be at least two different labels, such as {such_as}.")
    values: list[dict[str, Any]] = [{"label": name} for name in names]
    for value in values if scores else ():
        score = scores[value["label"]]
        value["score"] = arguments.rendered_number(score)
        if value["score"] is None:
            raise InvalidInput(f"labels[{shown(value['label'])}] must be a number, not {shown(score)}.")
    return values


def _read_emails(emails: Any) -> list[str]:
    read = list(arguments.read_names(emails, "annotator_emails", such_as='["ada@example.com"]'))
    if not read or not all("@" in email for email in read):
        raise InvalidInput(f"annotator_emails must be email addresses of Arize users, not {shown(read)}.")
    return read


# The templated arguments: a literal is read when the DAG is parsed, and all are read when the task runs.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "name": partial(_read_short, "name", LONGEST_NAME),
    "annotation": partial(_read_short, "annotation", LONGEST_NAME),
    "labels": _read_values,
    "annotator_emails": _read_emails,
    "instructions": _read_instructions,
    "space_id": _read_space_id,
}
