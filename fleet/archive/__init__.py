"""The archive of dumps: a folder of Parquet files that DuckDB writes and reads."""
