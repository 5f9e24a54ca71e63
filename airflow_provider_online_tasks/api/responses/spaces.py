"""Projects, spaces and organizations."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_online_tasks.api.responses.fields import Id, Name
from airflow_provider_online_tasks.api.responses.model import Model


@dataclass(frozen=True, kw_only=True)
class Project(Model):
    """A project.

    :param id: its global ID, which GraphQL calls the model ID.
    :param name: its name.
    :param space_id: the ID of its space.
    """

    id: Id
    name: Name
    space_id: Id | None = None


@dataclass(frozen=True, kw_only=True)
class Space(Model):
    """A space.

    :param id: its global ID.
    :param name: its name.
    """

    id: Id
    name: Name


@dataclass(frozen=True, kw_only=True)
class InSpace(Model):
    """The space of an object.

    :param space_id: the ID of the space.
    """

    space_id: Id


@dataclass(frozen=True, kw_only=True)
class InOrganization(Model):
    """The organization of an object.

    :param organization_id: the ID of the organization.
    """

    organization_id: Id
