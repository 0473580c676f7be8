"""DataFrames and arrays -> figures, one file a subject. No streamlit in here."""
