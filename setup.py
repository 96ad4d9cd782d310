from setuptools import setup

setup(cffi_modules=[f"cffi_build.py:{name}" for name in ("trace", "emu", "driver", "bench")])
