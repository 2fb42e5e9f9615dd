"""What a user chooses for restored maps, without training anew."""

import dataclasses
from typing import Literal

from segsynth.errors import UserError
from segsynth.systems.mask_restoration.tasks import Task


@dataclasses.dataclass(frozen=True)
class Answers:
    """The options of prediction; by default those of the config that was trained."""

    clamp_known: bool = dataclasses.field(
        default=False, metadata={"help": "pixels that have a label keep it"}
    )
    confidence: bool = dataclasses.field(
        default=False,
        metadata={"help": "answer also how certain each pixel is, 255 = certain (see --outputs)"},
    )

    damage: str = dataclasses.field(
        default="", metadata={"help": "kind of damage, for a restorer of several that can be told"}
    )

    low_resolution: Literal["auto", "small", "repeated"] = dataclasses.field(
        default="auto",
        metadata={"help": "whether a map is the small one itself or has repeated pixels already"},
    )

    def checked(self, task: Task, told: float) -> "Answers":
        """Return the same; ``told``: probability with which the restorer was told a kind.

        Raises:
            UserError: known pixels are to be kept, and the task has none for certain; a kind that
                the restorer cannot be told; a resolution, and the task is another.

        """
        if self.low_resolution != "auto" and task.low_resolution is None:
            raise UserError(
                f"low_resolution is {self.low_resolution!r} with the task {'+'.join(task.names)}; "
                "leave it out, as its maps are as large as their answers"
            )
        if self.damage and not (told and self.damage in task.names):
            kinds = ", ".join(task.names) if told else "none, as it was trained with told = 0"
            raise UserError(f"damage is {self.damage!r}; the restorer can be told {kinds}")
        if self.clamp_known and (len(task.kinds) > 1 or not task.kinds[0].certain):
            raise UserError(
                f"clamp_known with the task {'+'.join(task.names)}, where no pixel of a map is "
                "known for certain; set it to False"
            )
        return self
