from setuptools import setup

setup(cffi_modules=[f"cffi_build.py:{name}" for name in ("emu", "driver", "bench")])
