"""Run Beam graphs: launching, the exchange of packed rows, local worker processes."""
