"""The step of this room as schedulers see it; importing this file needs no framework."""

from gristmill.steps.step import StepDeclaration

AUDIT = StepDeclaration(
    name="audit",
    command="audit",
    summary="measure what a corpus, its rules and its models say about groups of people",
    reads=("annotate", "decide", "pack", "pretrain"),
    config="bias_audit.config:AuditConfig",
    entry_modules=("bias_audit.audit", "reports.audit.page", "reports.audit.markdown"),
)
STEPS = (AUDIT,)
