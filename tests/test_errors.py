from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from sevensteps import errors
from sevensteps.errors import DataError, ModelFolderError, RefusedPicture, RequestError, SevenStepsError

ALL = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, SevenStepsError)]
WITH_HINT = [kind for kind in ALL if kind is not RefusedPicture]


def test_the_module_defines_no_error_outside_the_tree():
    classes = [it for _, it in inspect.getmembers(errors, inspect.isclass) if it.__module__ == errors.__name__]
    assert all(issubclass(value, SevenStepsError) for value in classes)


def test_the_tree_in_the_docstring_names_every_error():
    assert [kind.__name__ for kind in ALL if kind.__name__ not in (errors.__doc__ or "")] == []


@pytest.mark.parametrize("kind", WITH_HINT)
def test_a_message_ends_with_its_hint(kind):
    assert str(kind("no folder 'x'", hint="check it")) == "no folder 'x'\n  hint: check it"


@pytest.mark.parametrize("kind", WITH_HINT)
def test_without_a_hint_a_message_is_one_line(kind):
    assert str(kind("no folder 'x'")) == "no folder 'x'"


def test_only_wrong_requests_have_exit_code_2():
    assert {kind for kind in ALL if kind.exit_code == 2} == {RequestError, DataError, ModelFolderError}
    assert {kind.exit_code for kind in ALL} == {1, 2}


def test_a_wrong_request_is_a_value_error_to_whoever_knows_no_sevensteps():
    with pytest.raises(ValueError, match="no pictures"):
        raise DataError("no pictures")
    assert not issubclass(RefusedPicture, ValueError)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("kind", WITH_HINT)
def test_an_error_survives_the_way_between_processes(kind, again):
    error = again(kind("what", hint="do this"))
    assert (type(error), error.message, error.hint, str(error)) == (kind, "what", "do this", "what\n  hint: do this")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_refusal_survives_the_way_between_processes(again):
    error = again(RefusedPicture("empty", "the file is empty", "a.png"))
    assert (error.reason, error.message, error.picture) == ("empty", "the file is empty", "a.png")
    assert str(error) == "a.png: the file is empty"


def test_a_refusal_without_a_name_is_its_message():
    assert str(RefusedPicture("empty", "the file is empty")) == "the file is empty"
