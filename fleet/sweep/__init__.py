"""Tries every cell of a matrix: a card, a kernel, a fault, a seed. A row is what came of one.

    cells = all_cells(["t62100-cr"], ["none", "6.1"], ["healthy", "parity-cim"], range(10))
    with pool(4) as submit:
        for row in swept(cells, Settings(), Folder(Path("rows")), submit): ...

- `cells.py`: the cells, their order, and how they are shared out between shards.
- `trial.py`: what is done with a cell: our own driver's dump, a guest's crash, a script in a guest.
- `worker.py`: the process in which that is done; `process.py` is its other end, with the deadline.
- `jobs.py`: `tried`, the function that an executor gets; `pool.py` is a pool of this machine,
  `cluster.py` one of Dask.
- `rows.py`: rows as files in a folder; `junit.py` and `page.py` make something of them.
"""
