"""What the runs of one ablation show: rows, tables, figures and the page that holds them."""
