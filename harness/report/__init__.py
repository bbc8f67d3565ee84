"""WHO READS IT: matrix.json to terminal, HTML, CSV and Markdown."""
