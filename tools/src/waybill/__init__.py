"""Run, watch, break and audit a Waybill deployment."""
