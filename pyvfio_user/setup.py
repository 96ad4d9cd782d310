from setuptools import setup

setup(
    cffi_modules=["cffi_build.py:client", "cffi_build.py:server"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
