"""Look inside a trained model: lenses, figures, the report."""
