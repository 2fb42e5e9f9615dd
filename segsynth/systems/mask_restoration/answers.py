"""What a user chooses for restored maps, without training anew."""

import dataclasses

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

    def checked(self, task: Task) -> "Answers":
        """Return the same.

        Raises:
            UserError: known pixels are to be kept, and the task has none for certain.

        """
        if self.clamp_known and (len(task.kinds) > 1 or not task.kinds[0].certain):
            raise UserError(
                f"clamp_known with the task {'+'.join(task.names)}, where no pixel of a map is "
                "known for certain; set it to False"
            )
        return self
