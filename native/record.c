// result.json.

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { RESULT_SCHEMA = 1 };

const KindInfo kKinds[] = {
    [KIND_NONE] = {"none", 0},
    [KIND_USAGE] = {"usage", 2},
    [KIND_RUNTIME_LIBRARY] = {"runtime_library", 10},
    [KIND_ABI] = {"abi", 11},
    [KIND_MODEL] = {"model", 12},
    [KIND_UNAVAILABLE] = {"accelerator_unavailable", 13},
    [KIND_COMPILE] = {"compile", 14},
    [KIND_INPUT] = {"input", 15},
    [KIND_RUN] = {"run", 16},
    [KIND_OUTPUT] = {"output", 17},
    [KIND_NOT_FULLY] = {"not_fully_accelerated", 18},
    [KIND_OUTPUT_LIMIT] = {"output_limit", 19},
    [KIND_UNSUPPORTED] = {"unsupported", 20},
    [KIND_CRASH] = {"crash", 30},
    [KIND_TIMEOUT] = {"timeout", 31},
    [KIND_MEMORY] = {"memory", 32},
    [KIND_CANCELLED] = {"cancelled", 33},
};

const char *const kStages[] = {
    [STAGE_START] = "start",
    [STAGE_LOAD_RUNTIME] = "load_runtime",
    [STAGE_ENVIRONMENT] = "environment",
    [STAGE_LOAD_MODEL] = "load_model",
    [STAGE_INPUTS] = "inputs",
    [STAGE_COMPILE] = "compile",
    [STAGE_BUFFERS] = "buffers",
    [STAGE_FIRST_RUN] = "first_run",
    [STAGE_SAMPLES] = "samples",
    [STAGE_WARMUP] = "warmup",
    [STAGE_RUN] = "run",
    [STAGE_RESULT] = "result",
};

static void json_tensor_fields(Json *json, size_t index, const Tensor *tensor) {
  int bits;
  json_integer(json, "index", (int64_t)index);
  json_string(json, "name", tensor->name);
  json_string(json, "dtype", type_name(tensor->type.element_type, &bits));
  json_begin(json, "shape", '[');
  for (int i = 0; i < rank_of(tensor); i++) json_integer(json, NULL, tensor->type.layout.dims[i]);
  json_end(json, ']');
  json_flag(json, "dynamic", tensor->dynamic);
  json_integer(json, "bytes", (int64_t)tensor->bytes);
}

static void json_tensors(Json *json, const char *key, const Tensor *tensors, size_t count) {
  json_begin(json, key, '[');
  for (size_t i = 0; i < count; i++) {
    json_begin(json, NULL, '{');
    json_tensor_fields(json, i, &tensors[i]);
    json_end(json, '}');
  }
  json_end(json, ']');
}

static void write_error(Json *json, const Run *run, const Error *error) {
  if (error == NULL) {
    json_null(json, "error");
    return;
  }
  json_begin(json, "error", '{');
  json_string(json, "kind", kKinds[error->kind].name);
  json_integer(json, "exit_code", kKinds[error->kind].exit_code);
  json_string(json, "stage", kStages[run->facts->stage]);
  json_string(json, "message", error->message);
  json_known(json, "litert_status", error->status);
  json_string(json, "litert_status_name", error->status < 0 ? NULL : status_name(error->status));
  json_known(json, "signal", error->signal > 0 ? error->signal : -1);
  json_string(json, "signal_name", error->signal > 0 ? signal_name(error->signal) : NULL);
  json_end(json, '}');
}

static void write_log_fields(Json *json, const char *out) {
  Log log = read_log(out);
  json_key(json, "stderr_tail");
  json_text(json, log.tail, log.tail_size);
  json_string(json, "adapter", log.adapter);
  json_string(json, "adapter_type", log.adapter_type);
  json_known(json, "gpu_nodes", log.gpu_nodes);
  json_known(json, "cpu_nodes", log.cpu_nodes);
  json_begin(json, "unsupported_ops", '[');
  for (size_t i = 0; i < log.unsupported_count; i++) json_string(json, NULL, log.unsupported[i]);
  json_end(json, ']');
}

static void write_request(Json *json, const Run *run) {
  const Options *options = run->options;
  if (options->describe) return;
  json_string(json, "accelerator", kAccelerators[options->accelerator]);
  json_string(json, "precision", kPrecisions[options->precision]);
  json_string(json, "kernels", kKernels[options->kernels]);
  json_string(json, "backend", kBackends[options->backend]);
  json_integer(json, "threads", options->threads);
  json_string(json, "cpu_options", run->cpu_options[0] ? run->cpu_options : NULL);
  json_string(json, "gpu_options", run->gpu_options[0] ? run->gpu_options : NULL);
}

static void write_facts(Json *json, const Facts *facts) {
  json_known(json, "model_bytes", facts->model_bytes);
  json_known(json, "model_ops", facts->model_ops);
  json_known(json, "runtime_bytes", facts->runtime_bytes);
  json_string(json, "runtime_abi", facts->env_first < 0 ? NULL : facts->env_first ? "env-first" : "model-first");
  json_begin(json, "accelerators", '[');
  for (int i = 0; i < facts->accelerator_count; i++) {
    const Accelerator *accelerator = &facts->accelerators[i];
    char version[48];
    snprintf(version, sizeof version, "%d.%d.%d", accelerator->version.major, accelerator->version.minor,
             accelerator->version.patch);
    json_begin(json, NULL, '{');
    json_string(json, "name", accelerator->name);
    json_string(json, "version", version);
    json_integer(json, "hardware", accelerator->hardware);
    json_end(json, '}');
  }
  json_end(json, ']');
  json_flag(json, "gpu_environment", facts->gpu_environment);
  json_flag(json, "fully_accelerated", facts->fully_accelerated);
  json_flag(json, "non_cpu_fully_accelerated", facts->non_cpu_fully_accelerated);
  json_flag(json, "all_on_accelerator", facts->all_on_accelerator);
  json_string(json, "all_on_accelerator_evidence", facts->evidence[0] ? facts->evidence : NULL);
  json_us(json, "dlopen_us", facts->dlopen_us);
  json_us(json, "environment_us", facts->environment_us);
  json_us(json, "load_us", facts->load_us);
  json_us(json, "compile_us", facts->compile_us);
  json_us(json, "buffers_us", facts->buffers_us);
  json_known(json, "rss_before_compile_bytes", facts->rss_before_compile);
  json_known(json, "rss_end_bytes", facts->rss_end);
  json_known(json, "peak_rss_bytes", facts->peak_rss);
  json_string(json, "signature", facts->signature_index < 0 ? NULL : facts->signature);
  json_known(json, "signature_index", facts->signature_index);
}

static void write_signatures(Json *json, const Run *run) {
  json_begin(json, "signatures", '[');
  for (size_t i = 0; i < run->signature_count; i++) json_string(json, NULL, run->signatures[i].key);
  json_end(json, ']');
  if (!run->options->describe) return;
  json_begin(json, "signature_details", '[');
  for (size_t i = 0; i < run->signature_count; i++) {
    const Signature *signature = &run->signatures[i];
    json_begin(json, NULL, '{');
    json_integer(json, "index", (int64_t)i);
    json_string(json, "key", signature->key);
    json_known(json, "ops", signature->ops);
    json_tensors(json, "inputs", signature->inputs, signature->input_count);
    json_tensors(json, "outputs", signature->outputs, signature->output_count);
    json_end(json, '}');
  }
  json_end(json, ']');
}

void output_file(char *name, size_t size, long sample, size_t output) {
  snprintf(name, size, "s%ld_o%zu.bin", sample, output);
}

static void write_measurements(Json *json, const Run *run) {
  const Signature *signature = run->signature;
  json_begin(json, "samples", '[');
  for (long i = 0; i < run->sample_count; i++) {
    json_begin(json, NULL, '{');
    json_integer(json, "sample", i);
    json_us(json, "upload_us", run->samples[i].upload_us);
    json_us(json, "invoke_us", run->samples[i].invoke_us);
    json_us(json, "read_us", run->samples[i].read_us);
    json_end(json, '}');
  }
  json_end(json, ']');
  json_times(json, "warmup_invoke_us", run->warmup.invoke_us, run->warmup.kept);
  json_times(json, "warmup_read_us", run->warmup.read_us, run->warmup.kept);
  json_times(json, "invoke_us", run->timed.invoke_us, run->timed.kept);
  json_times(json, "read_us", run->timed.read_us, run->timed.kept);
  json_integer(json, "runs_total", run->timed.total);
  json_integer(json, "runs_stride", run->timed.stride);
  json_flag(json, "outputs_repeatable", run->repeatable);
  json_tensors(json, "inputs", signature ? signature->inputs : NULL, signature ? signature->input_count : 0);
  json_begin(json, "outputs", '[');
  size_t outputs = signature ? signature->output_count : 0;
  for (long sample = 0; sample < run->sample_count; sample++) {
    for (size_t i = 0; i < outputs; i++) {
      char text[64];
      json_begin(json, NULL, '{');
      json_integer(json, "sample", sample);
      json_tensor_fields(json, i, &signature->outputs[i]);
      snprintf(text, sizeof text, "%08x", (unsigned)run->checksums[(size_t)sample * outputs + i]);
      json_string(json, "crc32", text);
      output_file(text, sizeof text, sample, i);
      json_string(json, "file", text);
      json_end(json, '}');
    }
  }
  json_end(json, ']');
}

// Writes result.json.tmp, then renames it: the record is there whole or not at all.
bool write_result(const Run *run, const Error *error) {
  const Options *options = run->options;
  char *temporary = path_in(options->out, "result.json.tmp"), *path = path_in(options->out, "result.json");
  FILE *file = fopen(temporary, "w");
  if (file == NULL) return false;
  Json json = {file, 0, true};
  struct utsname system;
  bool known = uname(&system) >= 0;
  json_begin(&json, NULL, '{');
  json_integer(&json, "schema", RESULT_SCHEMA);
  json_string(&json, "tool", "delegate_bench");
  json_string(&json, "tool_version", TOOL_VERSION);
  json_string(&json, "run_id", options->run_id);
  json_string(&json, "status", error == NULL ? "ok" : "error");
  write_error(&json, run, error);
#ifdef __ANDROID__
  json_string(&json, "os", "Android");
#else
  json_string(&json, "os", known ? system.sysname : NULL);
#endif
  json_string(&json, "os_release", known ? system.release : NULL);
  json_string(&json, "machine", known ? system.machine : NULL);
  write_request(&json, run);
  write_facts(&json, run->facts);
  write_log_fields(&json, options->out);
  write_signatures(&json, run);
  if (!options->describe) write_measurements(&json, run);
  json_end(&json, '}');
  fputc('\n', file);
  bool good = fflush(file) == 0 && !ferror(file) && fsync(fileno(file)) == 0;
  good = fclose(file) == 0 && good;
  return good && rename(temporary, path) == 0;
}
