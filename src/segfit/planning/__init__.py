"""Memory and time of a recipe, known before it is trained."""
