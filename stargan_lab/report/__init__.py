"""The report of an ablation: tables, figures and pages."""
