"""Guests: QEMU, their kernels and initramfs, and the crash that they go through."""

if __name__ != "vmcoredd.qemu":
    # In a checkout this folder also answers to `qemu`, the name of the packages of QEMU's own:
    # whoever asks for that gets those packages (`qemu.qmp`), and none of the modules here.
    from pkgutil import extend_path

    __path__ = [path for path in extend_path(__path__, __name__) if path not in __path__]
