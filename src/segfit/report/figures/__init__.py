"""The figures of a report: a run has the same colour and marker in all of them; labels stand where the data is."""
