"""Tokenizers: sentencepiece training, the exact Hugging Face form, sentence offsets."""
