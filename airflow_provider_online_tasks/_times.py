"""Times in the API's form: ISO 8601 at UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_online_tasks._text import shown


def parse_time(value: object, name: str = "") -> datetime:
    """Return a datetime at UTC for a datetime or an ISO 8601 text. Without a time zone it is UTC.

    :param name: what the time is called, for messages.
    :raises ValueError: it is not a time.
    """
    subject = f"{name} " if name else ""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(
                f"{subject}is not a time: {shown(value)}. Use ISO 8601, such as '2024-10-08T00:01:41.644Z'."
            ) from None
    if not isinstance(value, datetime):
        raise ValueError(  # noqa: TRY004  one error class for every unreadable time
            f"{subject}is not a time: {shown(value)}. Use a datetime or ISO 8601 text."
        )
    if type(value) is not datetime:  # pendulum's differences are of another type
        value = datetime.fromisoformat(value.isoformat())
    if value.tzinfo is UTC:
        return value
    try:
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{subject}is out of range: {shown(value)}.") from None


def wire_time(value: datetime) -> str:
    """Return a time in the API's form: ``2007-12-03T10:15:30Z``, with milliseconds if it has any."""
    spec = "auto" if value.microsecond % 1000 else "milliseconds" if value.microsecond else "seconds"
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=spec) + "Z"
