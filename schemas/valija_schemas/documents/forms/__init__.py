"""The document types, one module each. Every module here is loaded and registers itself; there is no list to edit."""
