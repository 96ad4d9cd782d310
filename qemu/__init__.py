"""Guests: QEMU, their kernels and initramfs, and the crash that they go through."""

if __name__ != "vmcoredd.qemu":
    # In a checkout this folder also answers to `qemu`, the name of the packages of QEMU's own:
    # whoever asks for that gets those packages (`qemu.qmp`), which share a namespace and so have
    # no `__init__.py`, and none of the modules here or in another checkout.
    from pathlib import Path
    from pkgutil import extend_path

    __path__ = [
        path
        for path in extend_path(__path__, __name__)
        if not (Path(path) / "__init__.py").exists()
    ]
