"""Beyond one machine: an archive of dumps, and sweeps over cards, kernels and faults.

`archive` keeps what thousands of dumps say in Parquet files, and asks them in SQL (DuckDB).
`sweep` runs experiments, here or on other machines (Dask).
"""

if __name__ != "vmcoredd.fleet":
    raise ImportError("import vmcoredd.fleet, not fleet")
