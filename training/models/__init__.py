"""The two networks of the house: a Llama-shaped decoder and a classic BERT, chosen so that exports
lose nothing.
"""
