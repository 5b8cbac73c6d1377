"""What predict could not do, in words."""

from __future__ import annotations

from dataclasses import dataclass

NOT_FINITE = (
    "the net's answer is not made of finite numbers: if the input is like those of its training, the "
    "net's file is damaged or of an older version: export it again (of a cell: run 'dvc checkout')"
)


@dataclass(frozen=True)
class Failed:
    """What could not be done.

    Attributes:
        files: how many there are.
        unread: files that could not be read.
        inputs: of the files that could.
        unanswered: inputs to which the net has no finite answer.
    """

    files: int
    unread: int
    inputs: int
    unanswered: int

    @property
    def lines(self) -> list[str]:
        """As text; none where all could be done."""
        said = []
        if self.unread:
            said.append(f"{self.unread} of {self.files} files could not be read")
        if self.unanswered:
            said.append(
                f"{self.unanswered} of {self.inputs} answers are not made of finite numbers"
            )
        return said
