from setuptools import setup

setup(
    cffi_modules=[
        "cffi_build.py:pyvfio_user_client",
        "cffi_build.py:pyvfio_user_server",
        "cffi_build.py:emu",
        "cffi_build.py:driver",
        "cffi_build.py:bench",
    ]
)
