"""The problem teacher."""
