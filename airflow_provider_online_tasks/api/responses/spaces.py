"""Projects, and the spaces and organisations that they are in."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_online_tasks.api.responses.fields import Id, Name
from airflow_provider_online_tasks.api.responses.model import Model


@dataclass(frozen=True, kw_only=True)
class Project(Model):
    """A project.

    :param id: its global ID, which GraphQL calls the model's.
    :param name: its name.
    :param space_id: the space it is in.
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
    """Something that is in a space.

    :param space_id: the space.
    """

    space_id: Id


@dataclass(frozen=True, kw_only=True)
class InOrganization(Model):
    """Something that is in an organisation.

    :param organization_id: the organisation.
    """

    organization_id: Id
