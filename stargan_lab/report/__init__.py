"""What the runs of one hypothesis show: rows, tables, figures and the page that holds them."""
