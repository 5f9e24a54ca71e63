"""What a user may pass: request models (pydantic), and arguments of tasks that are checked without pydantic.

Each model takes a dict with snake_case or the API's camelCase keys, validates it, and writes the documented
JSON. A field that is left out is not sent; in a patch, ``None`` is sent as null and clears the field.
"""
