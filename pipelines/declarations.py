"""The steps of this room as schedulers see them; importing this file needs no framework."""

from gristmill.steps.step import FILES, StepDeclaration

ANNOTATE = StepDeclaration(
    name="annotate",
    command="annotate",
    summary="read every input, extract its text, compute every signal as a column",
    reads=("crawl", FILES),
    config="pipelines.config:AnnotateConfig",
    section="annotate",
    entry_modules=("pipelines.annotate.graph",),
)
DECIDE = StepDeclaration(
    name="decide",
    command="decide",
    summary="keep or drop every document, with all reasons; find duplicates and repeated text",
    reads=("annotate",),
    config="pipelines.config:DecideConfig",
    section="decide",
    entry_modules=("pipelines.decide.jobs",),
)
TOKENIZER = StepDeclaration(
    name="tokenizer",
    command="tokenizer train",
    summary="train a sentencepiece model on a deterministic sample of the kept documents",
    reads=("decide",),
    config="pipelines.config:TokenizerConfig",
    section="tokenizer",
    entry_modules=("pipelines.tokenizer.graph",),
)
PACK = StepDeclaration(
    name="pack",
    command="pack",
    summary="write the kept documents as shuffled Arrow shards of token ids",
    reads=("decide", "tokenizer"),
    config="pipelines.config:PackConfig",
    section="pack",
    entry_modules=("pipelines.pack.jobs",),
)
EXPORT_TEXT = StepDeclaration(
    name="export-text",
    command="export-text",
    summary="write the kept documents as text, cut and masked, as Parquet or JSON Lines",
    reads=("decide",),
    config="pipelines.config:ExportTextConfig",
    section="export_text",
    entry_modules=("pipelines.export_text.graph", "pipelines.export_text.features"),
)
STEPS = (ANNOTATE, DECIDE, TOKENIZER, PACK, EXPORT_TEXT)
