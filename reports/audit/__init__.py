"""Draw an audit from its audit.json: the page, the Markdown, and the figures that the report and the card share."""

from collections.abc import Mapping


def draw_pages(audit_json: Mapping[str, object]) -> tuple[str, str]:
    """audit.html and audit.md of the value of an audit.json; InputError where it is of another format."""
    # Imported here: the report uses the figures of this package without either page.
    from bias_audit.contract.result import AuditResult
    from reports.audit.markdown import write_markdown
    from reports.audit.page import draw_page

    audit = AuditResult.from_json(audit_json)
    return draw_page(audit), write_markdown(audit)
