"""Networks without soccer knowledge: encoder, text tower, decoders."""
