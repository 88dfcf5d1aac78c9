"""The step pack: encode kept documents, mix, shuffle and write Arrow shards."""
