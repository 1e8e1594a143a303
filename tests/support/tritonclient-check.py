"""NVIDIA's own client against a Triton server: each check prints one line, and the first that fails ends with status 1.

Arguments: HTTP address, gRPC address, model, backend (vllm, tensorrtllm, python or embedding).
"""

import json
import queue
import sys

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

http_address, grpc_address, model, backend = sys.argv[1:5]
http = httpclient.InferenceServerClient(http_address)
grpc = grpcclient.InferenceServerClient(grpc_address)


def check(name, holds, found=None):
    print(("ok   " if holds else "FAIL ") + name + ("" if holds else f": {found!r}"), flush=True)
    if not holds:
        sys.exit(1)


def refused(name, call, *words):
    try:
        call()
    except InferenceServerException as error:
        check(name, all(word in str(error) for word in words), str(error))
    else:
        check(name, False, "nothing was raised")


def tensors(client, prompt, stream, **sampling):
    """The inputs of a generation, as the convention of the backend has them."""

    def tensor(name, values, kind):
        shape = [len(values)] if backend in ("vllm", "python") else [1, len(values)]
        made = client.InferInput(name, shape, kind)
        types = {"BYTES": object, "BOOL": bool, "INT32": np.int32, "FP32": np.float32, "UINT64": np.uint64}
        made.set_data_from_numpy(np.array(values, dtype=types[kind]).reshape(shape))
        return made

    if backend == "embedding":
        return [tensor("TEXT", [prompt], "BYTES")]
    if backend == "python":
        return [tensor("text_input", [prompt], "BYTES")]
    made = [
        tensor("text_input", [prompt], "BYTES"),
        tensor("stream", [stream], "BOOL"),
        tensor("exclude_input_in_output", [True], "BOOL"),
        tensor("return_num_output_tokens", [True], "BOOL"),
    ]
    if backend == "vllm":
        made.append(tensor("sampling_parameters", [json.dumps({"temperature": 0, "min_tokens": sampling["max_tokens"], **sampling})], "BYTES"))
        made.append(tensor("return_finish_reason", [True], "BOOL"))
    else:
        made.append(tensor("max_tokens", [sampling["max_tokens"]], "INT32"))
        made.append(tensor("min_tokens", [sampling["max_tokens"]], "INT32"))
        made.append(tensor("top_k", [1], "INT32"))
    return made


def streamed(prompt, stream=True, **sampling):
    """All answers of one ModelStreamInfer request: texts, and the last result."""
    answers = queue.Queue()
    grpc.start_stream(callback=lambda result, error: answers.put((result, error)))
    grpc.async_stream_infer(
        model, tensors(grpcclient, prompt, stream, **sampling), enable_empty_final_response=True, request_id="s1"
    )
    texts, last = [], None
    while True:
        result, error = answers.get(timeout=20)
        if error is not None:
            grpc.stop_stream()
            raise error
        if result.as_numpy("text_output") is not None:
            texts.append(result.as_numpy("text_output").flatten()[0].decode())
            last = result
        if result.get_response().parameters["triton_final_response"].bool_param:
            break
    grpc.stop_stream()
    return texts, last


for name, client in (("http", http), ("grpc", grpc)):
    check(f"{name}: live", client.is_server_live())
    check(f"{name}: ready", client.is_server_ready())
    check(f"{name}: the model is ready", client.is_model_ready(model))
    refused(f"{name}: another model is not found", lambda: client.get_model_metadata("other"), "other", "not found")

check("http: server metadata", http.get_server_metadata()["name"] == "triton")
check("grpc: server metadata", grpc.get_server_metadata().name == "triton")
over_http, over_grpc = http.get_model_metadata(model), grpc.get_model_metadata(model, as_json=True)
names = [entry["name"] for entry in over_http["inputs"]]
check("the metadata is the same over both", names == [entry["name"] for entry in over_grpc["inputs"]], over_grpc)
config = grpc.get_model_config(model).config
check("grpc: config types are those of the enum", config.input[0].data_type == model_config_pb2.TYPE_STRING, config)
decoupled = config.model_transaction_policy.decoupled
over_http = http.get_model_config(model).get("model_transaction_policy", {}).get("decoupled", False)
check("the transaction policy is the same over both", decoupled == over_http)
check("http: repository index", http.get_model_repository_index()[0]["state"] == "READY")
check("grpc: repository index", grpc.get_model_repository_index().models[0].name == model)

if backend == "embedding":
    vectors = []
    for client, library in ((http, httpclient), (grpc, grpcclient)):
        outputs = [library.InferRequestedOutput("EMBEDDING")] if library is grpcclient else [
            library.InferRequestedOutput("EMBEDDING", binary_data=False)
        ]
        inputs = tensors(library, "hello", False)
        if library is httpclient:
            inputs[0].set_data_from_numpy(np.array([["hello"]], dtype=object), binary_data=False)
        vectors.append(client.infer(model, inputs, outputs=outputs).as_numpy("EMBEDDING"))
    check("embedding over both is FP32 and alike", vectors[0].dtype == np.float32 and np.allclose(*vectors, atol=1e-6))
elif decoupled:
    refused("grpc: ModelInfer refuses a decoupled model", lambda: grpc.infer(model, tensors(grpcclient, "hi", False, max_tokens=4)), "decoupled")
    texts, last = streamed("Once upon a time", max_tokens=12)
    check("grpc: a stream has many answers", len(texts) > 5, texts)
    whole, _ = streamed("Once upon a time", stream=False, max_tokens=12)
    check("grpc: a whole answer is the stream joined", whole == ["".join(texts)], (whole, texts))
    check("grpc: raw INT32 or UINT32 counts", last.as_numpy("num_output_tokens").dtype in (np.int32, np.uint32))
    try:
        streamed("x" * 200_000, max_tokens=2)
        check("grpc: a long prompt is refused", False)
    except InferenceServerException as error:
        check("grpc: a long prompt is refused", "maximum" in str(error), str(error))
else:
    result = grpc.infer(model, tensors(grpcclient, "Once upon a time", False), request_id="r7")
    check("grpc: ModelInfer answers", len(result.as_numpy("text_output").flatten()[0]) > 0)
    check("grpc: the id comes back", result.get_response().id == "r7")

if backend != "embedding":
    bad = grpcclient.InferInput("text_input", [1], "INT32")
    bad.set_data_from_numpy(np.array([1], dtype=np.int32))

    def wrong():
        if decoupled:
            answers = queue.Queue()
            grpc.start_stream(callback=lambda result, error: answers.put(error))
            grpc.async_stream_infer(model, [bad])
            error = answers.get(timeout=20)
            grpc.stop_stream()
            raise error
        grpc.infer(model, [bad])

    refused("grpc: a wrong type is refused in Triton's words", wrong, "data-type is 'INT32'", "expects 'BYTES'")

for name, client in (("http", http), ("grpc", grpc)):
    client.unload_model(model)
    check(f"{name}: unloaded", not client.is_model_ready(model))
    client.load_model(model)
    check(f"{name}: loaded again", client.is_model_ready(model))

assert service_pb2 is not None
print("all checks passed")
