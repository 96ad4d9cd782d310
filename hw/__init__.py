"""How software reaches a Chelsio adapter, over any transport: registers, memories and flash.

| file | content |
|---|---|
| `io.py` | registers: single accesses, and programs that a transport may pipeline |
| `indirect.py` | registers behind an address and a data register, and those of the CIM |
| `window.py` | adapter memory, through memory window 0 |
| `flash.py` | the serial flash |
| `pci.py` | PCI capabilities and vital product data |
| `device.py` | what the driver knows about an adapter after the probe |
| `errors.py` | the errors: DeviceError, with the kernel's -errno, and DeadDevice |

Everything takes an `Io`; `driver` implements it for each transport, the tests for a card in RAM.
The numbers are those of `chip/`.
"""

if __name__ != "vmcoredd.hw":
    raise ImportError("import vmcoredd.hw, not hw")
