"""The words sent along with the user's prompt, so that a model knows what each reference image shows."""

from domain.providers import PictureRequest, Reference, ReferenceRole

_MEANINGS = {
    ReferenceRole.FACE: "the face of the person to show",
    ReferenceRole.BODY: "the body and build of the person to show",
    ReferenceRole.STYLE: "the style to follow",
    ReferenceRole.SETTING: "the setting to place the scene in",
}


def full_prompt(request: PictureRequest) -> str:
    """The prompt, preceded by one line per reference in the order in which the pictures are sent."""
    notes = [_note(number, reference) for number, reference in enumerate(request.references, start=1)]
    return "\n".join([*notes, "", request.prompt]) if notes else request.prompt


def _note(number: int, reference: Reference) -> str:
    # A name is a user's text: on one line and quoted, it can't pass for another note.
    name = " ".join(reference.name.split()).replace('"', "'")
    return (
        f'Reference {number}: {_MEANINGS[reference.role]} ("{name}").'
        if name
        else (f"Reference {number}: {_MEANINGS[reference.role]}.")
    )
