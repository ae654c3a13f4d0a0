from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sevensteps.errors import RequestError
from sevensteps.models.function_model import FunctionModel, trainable_tensors

weights = torch.randn(4, 1).requires_grad_()
bias = torch.randn(1).requires_grad_()
unused = torch.randn(1).requires_grad_()
frozen = torch.randn(1)
layers = [torch.randn(4, 4).requires_grad_(), torch.randn(4).requires_grad_()]
net = nn.Linear(4, 4)


def linear1(xb: Tensor) -> Tensor:
    return xb @ weights + bias + frozen


def deeper(xb: Tensor) -> Tensor:
    return linear1(net(xb @ layers[0] + layers[1]).relu())


def test_it_finds_the_tensors_that_the_function_uses_and_no_others() -> None:
    model = FunctionModel(linear1)
    assert {id(tensor) for tensor in model.parameters()} == {id(weights), id(bias)}
    assert [name for name, _ in model.named_parameters()] == ["weights", "bias"]
    assert torch.equal(model(torch.ones(2, 4)), linear1(torch.ones(2, 4)))


def test_it_finds_tensors_in_lists_modules_and_the_functions_that_are_called() -> None:
    found = trainable_tensors(deeper)
    expected = [weights, bias, *layers, net.weight, net.bias]
    assert {id(tensor) for tensor in found.values()} == {id(tensor) for tensor in expected}
    assert len(found) == len(expected)
    assert {"layers.0", "net.weight"} <= set(found)


def test_it_finds_tensors_in_a_closure_and_in_a_lambda() -> None:
    inner = torch.zeros(3).requires_grad_()
    assert [id(tensor) for tensor in trainable_tensors(lambda xb: xb * inner).values()] == [id(inner)]


def test_one_tensor_under_two_names_is_found_once() -> None:
    same = {"w": weights}
    assert len(trainable_tensors(lambda xb: xb @ weights @ same["w"])) == 1


def test_a_product_of_weights_is_no_weight() -> None:
    product = weights * 2
    with pytest.raises(RequestError, match="uses no tensor that requires a gradient"):
        FunctionModel(lambda xb: xb @ product)


def test_a_function_without_weights_is_refused_by_name() -> None:
    def no_weights(xb: Tensor) -> Tensor:
        return xb

    with pytest.raises(RequestError, match=r"'no_weights' uses no tensor[\s\S]*requires_grad_"):
        FunctionModel(no_weights)


@pytest.mark.parametrize("strange", ["convnet", 3, nn.Linear])
def test_what_is_no_function_is_refused(strange: object) -> None:
    with pytest.raises(RequestError, match=r"the model is .*[\s\S]*expected an nn.Module"):
        FunctionModel(strange)  # type: ignore[arg-type]


def test_functions_that_call_each_other_are_followed_once() -> None:
    def even(xb: Tensor) -> Tensor:
        return odd(xb) * weights

    def odd(xb: Tensor) -> Tensor:
        return even(xb)

    assert list(trainable_tensors(even)) == ["weights"]
