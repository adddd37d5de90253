"""What a reader sees: pages, tables, figures. The only code that imports plotly."""
