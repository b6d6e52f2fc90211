"""What scored dumps say: counts, intervals, comparisons, the report's page and the difficulty filter."""
