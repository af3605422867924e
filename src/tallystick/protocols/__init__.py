"""Wire languages: one folder each, with codec, replica and provider."""
