"""From pixels to millimetres."""

import math
from dataclasses import dataclass

from lightning_mm.errors import InputError


@dataclass(frozen=True)
class Scale:
    """How lengths are shown: in pixels alone, or in millimetres as well.

    Attributes:
        mm_per_px: Millimetres per pixel in the plane that moves; ``None`` where it is not known.
    """

    mm_per_px: float | None = None

    @classmethod
    def parse(cls, mm_per_px: float | None, known_length: str | None) -> "Scale":
        """Read either way of saying it.

        Args:
            mm_per_px: Millimetres per pixel.
            known_length: "PX,MM": so many pixels of the picture are so many millimetres of the object.

        Raises:
            InputError: Both are given, or numbers that are not above 0.
        """
        if known_length is None:
            if mm_per_px is not None and not (math.isfinite(mm_per_px) and mm_per_px > 0.0):
                raise InputError(f"mm_per_px = {mm_per_px}: must be a number above 0")
            return cls(mm_per_px)
        if mm_per_px is not None:
            raise InputError("mm_per_px and known_length: give one of the two")
        try:
            pixels, millimetres = (float(part) for part in known_length.split(","))
        except ValueError:
            raise InputError(f"known_length = '{known_length}': must be PX,MM, such as 240,35.5") from None
        if not (math.isfinite(pixels) and math.isfinite(millimetres) and pixels > 0.0 and millimetres > 0.0):
            raise InputError(f"known_length = '{known_length}': both numbers must be above 0")
        return cls(millimetres / pixels)

    @property
    def unit(self) -> str:
        """Of ``shown``: "mm" where the scale is known, else "px"."""
        return "px" if self.mm_per_px is None else "mm"

    @property
    def shown(self) -> float:
        """Factor from pixels to ``unit``."""
        return 1.0 if self.mm_per_px is None else self.mm_per_px

    def text(self, pixels: float) -> str:
        """A length for reading: "0.123 px", or "0.123 px (0.0148 mm)"."""
        length = f"{pixels:.3f} px" if pixels >= 0.01 else f"{pixels:.2g} px"
        return length if self.mm_per_px is None else f"{length} ({pixels * self.mm_per_px:.3g} mm)"
