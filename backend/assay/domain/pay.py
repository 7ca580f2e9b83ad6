"""Whether a labeler's right answers are paid by information, told to the labeler: what the rule found, in numbers."""

from __future__ import annotations

from assay.domain.incentives import LEAST_INFORMATION, PROOF, looks
from assay.domain.standing import FIRST_USE, Register


def explain(register: Register, wallet: bytes) -> str:
    """What `Register.accepts` goes by for this labeler, in words."""
    at, standing = register.place.get(wallet), register.standing
    if at is None or standing is None:
        return (
            f"Your right answers are paid, on trust: what a labeler's record shows is looked at once {FIRST_USE} "
            "tasks of the request are settled, and again as they grow by a quarter."
        )
    count, size = int(standing.answers[at]), int(standing.group_size[at])
    if not standing.informative:
        text = "Your right answers are paid: the tasks so far are too alike to tell who looks at them."
    elif count < 2:
        text = f"Your right answers are paid, on trust: {count} of your answers can be compared yet."
    else:
        found, error = float(standing.information[at]), float(standing.error[at])
        text = (
            f"On {count} answers you agreed with others on the same task {100 * found:.1f} % as much beyond chance as "
            f"all of them together do with themselves (0 % is what answering without looking gives; standard error "
            f"{100 * error:.1f} %). With the benefit of the doubt ({PROOF} standard errors) that is "
            f"{100 * (found + PROOF * error):.1f} %, and {100 * LEAST_INFORMATION:.0f} % is asked for: "
        )
        if looks(standing, at):
            text += "your right answers are paid."
        else:
            text += "your right answers are not paid until later ones, or gold tasks, show otherwise."
    if size > 1:
        text += (
            f" Your answers coincide with those of {size - 1} other labelers far beyond chance: of what the {size} of "
            f"you have right, one answer in {size} is paid, by a lot that each answer's id draws."
        )
        if register.suspects is not None:
            group = register.suspects.groups[int(register.suspects.group_of[at])]
            text += f" Of your group: {group.explain()}"
    if size > 1 or not looks(standing, at):
        text += " A right answer that is not paid counts as right: no strike, and no loss of stake or reputation."
    return text
