"""Reports for readers: page, tables, figures. The only code that imports plotly."""
