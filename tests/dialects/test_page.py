"""docs/dialects.md says what the tables say."""

from otel_ext.wire.table import Field
from tests.dialects.generate import COLUMNS, PAGE, page


def test_the_page_is_current() -> None:
    """`python -m tests.dialects.generate` writes it."""
    assert PAGE.read_text() == page()


def test_every_field_has_a_row() -> None:
    """But for what no instrumentation writes, and what is ours."""
    shown = {field for fields in COLUMNS.values() for field in fields}
    assert set(Field) - shown == {Field.SERVICE, Field.TEXT, Field.MARK}
