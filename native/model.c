// The model: its signatures, its tensors, and the files that fill its inputs.

#include "bench.h"

#include <errno.h>
#include <string.h>

// numpy's name of a LiteRT (= TFLite) element type, and its size; 0 bits: no fixed size.
const char *type_name(int type, int *bits) {
  static const struct { const char *name; int bits; } kTypes[] = {
      [0] = {"none", 0}, [1] = {"float32", 32}, [2] = {"int32", 32}, [3] = {"uint8", 8}, [4] = {"int64", 64},
      [TYPE_STRING] = {"string", 0}, [6] = {"bool", 8}, [7] = {"int16", 16}, [8] = {"complex64", 64},
      [9] = {"int8", 8}, [10] = {"float16", 16}, [11] = {"float64", 64}, [12] = {"complex128", 128},
      [13] = {"uint64", 64}, [14] = {"resource", 0}, [15] = {"variant", 0}, [16] = {"uint32", 32},
      [17] = {"uint16", 16}, [18] = {"int4", 4}, [19] = {"bfloat16", 16}, [20] = {"int2", 2}, [21] = {"uint4", 4},
      [22] = {"float8_e4m3fn", 8}, [23] = {"float8_e5m2", 8}};
  bool known = type >= 0 && (size_t)type < sizeof kTypes / sizeof kTypes[0];
  *bits = known ? kTypes[type].bits : 0;
  return known ? kTypes[type].name : "unknown";
}

int rank_of(const Tensor *tensor) {
  int rank = (int)(tensor->type.layout.rank_and_flags & 0x7f);
  return rank > MAX_RANK ? MAX_RANK : rank;
}

// Bytes of a tensor packed in C order; false if its type has no fixed size or the product overflows.
bool packed_bytes(const Tensor *tensor, size_t *bytes) {
  int bits;
  type_name(tensor->type.element_type, &bits);
  uint64_t total = (uint64_t)bits;
  for (int i = 0; i < rank_of(tensor); i++) {
    uint64_t dim = (uint64_t)tensor->type.layout.dims[i];
    if (dim != 0 && total > (UINT64_MAX >> 4) / dim) return false;
    total *= dim;
  }
  *bytes = (size_t)((total + 7) / 8);
  return bits > 0 && (uint64_t)*bytes == (total + 7) / 8;
}

static void describe_tensor(void *handle, const char *name, Tensor *tensor) {
  tensor->name = name ? name : "";
  // An unranked tensor keeps type 0, which select_signature() refuses.
  if (handle == NULL || api.GetRankedTensorType(handle, &tensor->type) != STATUS_OK) return;
  // Not the model's: a managed buffer is always dense.
  tensor->type.layout.rank_and_flags = (uint32_t)rank_of(tensor);
  for (int i = 0; i < rank_of(tensor); i++) {
    if (tensor->type.layout.dims[i] >= 0) continue;
    tensor->type.layout.dims[i] = 1;
    tensor->dynamic = true;
  }
  packed_bytes(tensor, &tensor->bytes);
}

static void read_signature(const Run *run, size_t index, Signature *signature) {
  void *handle = NULL, *subgraph = NULL;
  size_t ops = 0;
  signature->key = "";
  check(run, api.GetModelSignature(run->model, index, &handle), KIND_MODEL, "reading a signature");
  api.GetSignatureKey(handle, &signature->key);
  signature->ops = -1;
  if (api.GetSignatureSubgraph(handle, &subgraph) == STATUS_OK && api.GetNumSubgraphOps(subgraph, &ops) == STATUS_OK) {
    signature->ops = (int64_t)ops;
  }
  // The order is that of the subgraph, which RunCompiledModel expects too, whatever order the signature lists.
  api.GetNumSignatureInputs(handle, &signature->input_count);
  api.GetNumSignatureOutputs(handle, &signature->output_count);
  signature->inputs = allocate(signature->input_count, sizeof(Tensor));
  signature->outputs = allocate(signature->output_count, sizeof(Tensor));
  for (size_t i = 0; i < signature->input_count; i++) {
    const char *name = NULL;
    void *tensor = NULL;
    api.GetSignatureInputName(handle, i, &name);
    api.GetSignatureInputTensorByIndex(handle, i, &tensor);
    describe_tensor(tensor, name, &signature->inputs[i]);
  }
  for (size_t i = 0; i < signature->output_count; i++) {
    const char *name = NULL;
    void *tensor = NULL;
    api.GetSignatureOutputName(handle, i, &name);
    api.GetSignatureOutputTensorByIndex(handle, i, &tensor);
    describe_tensor(tensor, name, &signature->outputs[i]);
  }
}

void load_model(Run *run) {
  enter(run, STAGE_LOAD_MODEL);
  const Options *options = run->options;
  size_t size = 0;
  double start = now_us();
  // From memory, not from a file: only this way does every release verify it first. Otherwise one damaged file in three
  // crashes the process.
  const void *data = map_file(options->model, &size);
  if (data == NULL) {
    fail(run, KIND_MODEL, STATUS_NONE, "the model %s cannot be read: %s", options->model, strerror(errno));
  }
  run->facts->model_bytes = (int64_t)size;
  if (size < 8 || memcmp((const char *)data + 4, "TFL3", 4) != 0) {
    fail(run, KIND_MODEL, STATUS_NONE, "%s is not a TFLite model (%zu bytes, no 'TFL3' mark)", options->model, size);
  }
  void *symbol;
  memcpy(&symbol, &api.CreateModelFromBuffer, sizeof symbol);
  int status;
  if (run->facts->env_first) {
    CreateModelEnvFirst create;
    memcpy(&create, &symbol, sizeof create);
    status = create(run->environment, data, size, &run->model);
  } else {
    CreateModelModelFirst create;
    memcpy(&create, &symbol, sizeof create);
    status = create(data, size, &run->model);
  }
  check(run, status, KIND_MODEL, "loading the model");
  run->facts->load_us = now_us() - start;
  check(run, api.GetNumModelSignatures(run->model, &run->signature_count), KIND_MODEL, "counting the signatures");
  run->signatures = allocate(run->signature_count, sizeof(Signature));
  for (size_t i = 0; i < run->signature_count; i++) read_signature(run, i, &run->signatures[i]);
}

void select_signature(Run *run) {
  const char *key = run->options->signature;
  for (size_t i = 0; i < run->signature_count && run->signature == NULL; i++) {
    if (key != NULL && strcmp(key, run->signatures[i].key) != 0) continue;
    run->signature = &run->signatures[i];
    run->facts->signature_index = (int64_t)i;
    run->facts->model_ops = run->signature->ops;
    copy_text(run->facts->signature, sizeof run->facts->signature, run->signature->key);
  }
  if (run->signature == NULL && key == NULL) fail(run, KIND_MODEL, STATUS_NONE, "the model has no signature");
  if (run->signature == NULL) fail(run, KIND_INPUT, STATUS_NONE, "the model has no signature '%s'", key);
  const Signature *signature = run->signature;
  for (size_t i = 0; i < signature->input_count + signature->output_count; i++) {
    bool output = i >= signature->input_count;
    const Tensor *tensor = output ? &signature->outputs[i - signature->input_count] : &signature->inputs[i];
    size_t bytes;
    int bits;
    const char *type = type_name(tensor->type.element_type, &bits);
    if (tensor->type.element_type == TYPE_STRING) {
      fail(run, KIND_UNSUPPORTED, STATUS_NONE, "%s '%s' is a tensor of strings, which have no fixed size",
           output ? "output" : "input", tensor->name);
    }
    if (!packed_bytes(tensor, &bytes)) {
      fail(run, KIND_UNSUPPORTED, STATUS_NONE, "%s '%s' has no usable type (%s) or is larger than memory",
           output ? "output" : "input", tensor->name, type);
    }
  }
}

// All inputs of all samples, mapped: reading files is no part of any measured time.
const void **map_inputs(Run *run) {
  enter(run, STAGE_INPUTS);
  const Options *options = run->options;
  const Signature *signature = run->signature;
  size_t needed = (size_t)options->samples * signature->input_count;
  if ((size_t)options->input_count != needed) {
    fail(run, KIND_INPUT, STATUS_NONE, "%d input files were given; %d samples of %zu inputs need %zu",
         options->input_count, options->samples, signature->input_count, needed);
  }
  const void **data = allocate(needed, sizeof *data);
  for (size_t i = 0; i < needed; i++) {
    const Tensor *tensor = &signature->inputs[i % signature->input_count];
    size_t size = 0;
    data[i] = map_file(options->inputs[i], &size);
    if (data[i] == NULL) {
      fail(run, KIND_INPUT, STATUS_NONE, "the input file %s cannot be read: %s", options->inputs[i], strerror(errno));
    }
    if (size != tensor->bytes) {
      fail(run, KIND_INPUT, STATUS_NONE, "the input file %s has %zu bytes; input %zu '%s' has %zu", options->inputs[i],
           size, i % signature->input_count, tensor->name, tensor->bytes);
    }
  }
  return data;
}
