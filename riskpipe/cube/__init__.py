"""The cube and its store: template, blocks, manifest, catalogue and reading back."""
