"""The README of an exported model: what it is, how to load it, and how its tokenizer reads text from the web."""

from training.models.bert import Bert
from training.models.decoder import Decoder

CAUSAL = """\
---
library_name: transformers
pipeline_tag: text-generation
---
# A causal language model, pretrained with Gristmill

{parameters:,} parameters, a vocabulary of {vocabulary:,}, reads up to {length} tokens.

```python
from transformers import pipeline

write = pipeline("text-generation", model="path/to/this/folder")
write("Once", max_new_tokens={half})
```

The tokenizer opens each text with `<s>`. It reads `</s>`, `[MASK]` and the like in a text as plain text
(`split_special_tokens` is true), so text from the web cannot end a document.
"""

MASKED = """\
---
library_name: transformers
pipeline_tag: fill-mask
---
# A BERT (masked tokens and next sentence), pretrained with Gristmill

{parameters:,} parameters, a vocabulary of {vocabulary:,}, reads up to {length} tokens.

```python
from transformers import pipeline

fill = pipeline("fill-mask", model="path/to/this/folder")
fill("Once upon a [MASK].")
```

`AutoModelForMaskedLM` reports the next-sentence weights as unexpected: it has no use for them, `BertForPreTraining` has.

**Text from the web:** this tokenizer takes `[MASK]`, `[SEP]` and the like in a text for the special tokens, which is what
fill-mask needs. Encode text that you did not write with `tokenizer(text, split_special_tokens=True)`; the corpus this
model was trained on was encoded that way.
"""


def model_card(model: Decoder | Bert) -> str:
    """The README of this model."""
    template = CAUSAL if isinstance(model, Decoder) else MASKED
    parameters = sum(weight.numel() for weight in model.parameters())
    return template.format(
        parameters=parameters,
        vocabulary=model.vocabulary,
        length=model.length,
        half=model.length // 2,
    )
