"""The documentation: the site and what is generated for it and for the README."""
