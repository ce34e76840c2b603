"""Every error of the package, on one page.

EdgeInspectError
├── ConfigError          a file a person wrote is wrong (exit code 78: systemd does not restart)
├── PluginError          a camera, runtime, output or PLC wire that is not installed or does not open (78)
├── CameraError          the camera is away or answers nonsense; it may come back
│   └── FrameLost        a part was exposed, but its frame is lost or unreadable: that part is a FAULT
├── PartNotLocated       no part in the frame, or none whose direction is clear: that part is a FAULT
├── EngineError          the engine cannot be opened, is not accepted, or failed on a frame
│   └── UntrustedModel   a model folder that the station's public key does not vouch for (78)
├── PlcError             the wire to the PLC is broken
│   └── DeadlineMissed   the wire has already said FAULT for this part: the verdict came too late
└── OutputError          a record could not be written
    └── AlreadyRecorded  an inspection of this count stands there

A message says what, where, got, wanted, and what to do.
"""


class EdgeInspectError(Exception):
    """Anything this package raises on purpose. Its text is one sentence for the person who must act."""

    exit_code = 1


class ConfigError(EdgeInspectError):
    """A file written by a person, or a combination of files, cannot be used."""

    exit_code = 78


class PluginError(EdgeInspectError):
    """A kind named in a file is not installed, or its factory failed."""

    exit_code = 78


class CameraError(EdgeInspectError):
    """The camera cannot deliver now. The station raises an alarm and tries again."""


class FrameLost(CameraError):
    """A part was exposed and its frame is lost or unreadable.

    Attributes:
        sequence: the camera's own count of the lost exposure.
        part_id: the part's name if the camera knows it, else "".
    """

    def __init__(self, message: str, *, sequence: int, part_id: str = "") -> None:
        super().__init__(message)
        self.sequence = sequence
        self.part_id = part_id


class PartNotLocated(EdgeInspectError):
    """A locator finds no part, not one part, or none whose direction is clear. The part is a FAULT; it is never inspected unturned."""


class EngineError(EdgeInspectError):
    """The engine cannot be opened, has not been accepted, or failed on a frame."""


class UntrustedModel(EngineError):
    """The model folder is unsigned, signed by another key, or altered; trying again changes nothing."""

    exit_code = 78


class PlcError(EdgeInspectError):
    """The wire to the PLC is broken. The station raises an alarm; the wire reconnects by itself."""


class DeadlineMissed(PlcError):
    """The wire's own deadline has passed and it has already told the PLC FAULT for this part."""


class OutputError(EdgeInspectError):
    """A record could not be written. The verdict still goes to the PLC; the station raises an alarm."""


class AlreadyRecorded(OutputError):
    """An inspection of this count stands in the record; writing it again would be refused again."""
