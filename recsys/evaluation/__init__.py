"""Orders into a judgement: measures, intervals and reports; knows tables and imports no model."""
