"""What errors carry for the edge."""

from uuid import UUID

from domain.errors import FieldProblem, InvalidImage, InvalidImageReason, InvalidInput, NotFound


def test_an_invalid_input_names_each_field_with_its_message() -> None:
    """Fields given by name share the message."""
    error = InvalidInput("Give one of them", "first", "last")
    assert error.message == "Give one of them"
    assert error.problems == (
        FieldProblem(("first",), "Give one of them"),
        FieldProblem(("last",), "Give one of them"),
    )


def test_problems_given_one_by_one_keep_their_own_messages() -> None:
    """The error's message is the whole, each problem's its part."""
    problem = FieldProblem(("structuredPrompt", "mood"), "mood is too long")
    assert InvalidInput("mood is too long; style too", "prompt", problems=[problem]).problems == (problem,)


def test_what_is_not_found_is_named_without_saying_why() -> None:
    """The message names the noun alone; the id goes along as text."""
    id = UUID(int=7)
    assert NotFound("Identity", id).message == "Identity not found"
    assert NotFound("Identity", id).id == "00000000-0000-0000-0000-000000000007"
    assert NotFound("Prompt").id is None


def test_an_invalid_image_says_why() -> None:
    """The reason is one of a closed set."""
    error = InvalidImage("The file is empty", InvalidImageReason.EMPTY)
    assert (str(error), error.reason) == ("The file is empty", InvalidImageReason.EMPTY)
