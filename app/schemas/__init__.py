"""Check data against JSON Schemas."""
