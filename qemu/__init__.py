"""Guests under QEMU: builds their kernel and initramfs, runs programs in them, and crashes them."""

if __name__ != "vmcoredd.qemu":
    # In a checkout, `import qemu` finds this folder, but `qemu` is the namespace of QEMU's own
    # packages, such as `qemu.qmp`, which has no `__init__.py`. Point it there, and at no folder
    # with an `__init__.py`: neither this one nor another checkout's.
    from pathlib import Path
    from pkgutil import extend_path

    __path__ = [
        path
        for path in extend_path(__path__, __name__)
        if not (Path(path) / "__init__.py").exists()
    ]
