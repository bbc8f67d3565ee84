// Buffers, inferences and their times.

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A microsecond-sized model must not fill memory and JSON with a minute of samples. Even, so that thinning stays in step.
enum { RUNS_KEPT = 20000 };

// Output shapes that the model leaves open are known once the inputs' shapes are.
static void resolve_outputs(Run *run) {
  Signature *signature = run->signature;
  Layout *layouts = allocate(signature->output_count, sizeof *layouts);
  int status = api.GetCompiledModelOutputTensorLayouts(run->compiled, (size_t)run->facts->signature_index,
                                                       signature->output_count, layouts, true);
  check(run, status, KIND_RUN, "allocating the model's tensors");
  uint64_t total = 0;
  for (size_t i = 0; i < signature->output_count; i++) {
    Tensor *tensor = &signature->outputs[i];
    tensor->type.layout.rank_and_flags = layouts[i].rank_and_flags & 0x7f;
    for (int axis = 0; axis < rank_of(tensor); axis++) {
      tensor->type.layout.dims[axis] = layouts[i].dims[axis];
      if (layouts[i].dims[axis] < 0) {
        fail(run, KIND_RUN, STATUS_NONE, "the shape of output '%s' depends on the data, which LiteRT does not support",
             tensor->name);
      }
    }
    if (!packed_bytes(tensor, &tensor->bytes)) {
      fail(run, KIND_RUN, STATUS_NONE, "output '%s' is larger than memory", tensor->name);
    }
    total += tensor->bytes;
  }
  uint64_t limit = run->options->output_limit;
  if (limit > 0 && total > limit / (uint64_t)run->options->samples) {
    fail(run, KIND_OUTPUT_LIMIT, STATUS_NONE, "the outputs take %llu bytes x %d samples; the limit is %llu bytes",
         (unsigned long long)total, run->options->samples, (unsigned long long)limit);
  }
}

static void create_buffer(Run *run, size_t index, Tensor *tensor, bool output) {
  void *requirements = NULL;
  size_t signature = (size_t)run->facts->signature_index;
  int status = output
      ? api.GetCompiledModelOutputBufferRequirements(run->compiled, signature, index, &requirements)
      : api.GetCompiledModelInputBufferRequirements(run->compiled, signature, index, &requirements);
  check(run, status, KIND_RUN, "asking what buffer a tensor needs");
  void **buffer = &tensor->buffer;
  status = api.CreateManagedTensorBufferFromRequirements(run->environment, &tensor->type, requirements, buffer);
  if (status != STATUS_OK) {
    fail(run, KIND_RUN, status, "creating the buffer of %s '%s' failed", output ? "output" : "input", tensor->name);
  }
  int type = BUFFER_HOST;
  size_t size = tensor->bytes;
  api.GetTensorBufferType(tensor->buffer, &type);
  api.GetTensorBufferSize(tensor->buffer, &size);
  // GPU buffers may be smaller (fp16 inside) or padded; LiteRT converts when they are locked.
  if (type == BUFFER_HOST && size < tensor->bytes) {
    fail(run, KIND_RUN, STATUS_NONE, "the size of %s '%s' depends on the data, which LiteRT does not support",
         output ? "output" : "input", tensor->name);
  }
  if (!output) return;
  tensor->host = allocate(tensor->bytes, 1);
  tensor->first = allocate(tensor->bytes, 1);
  memset(tensor->host, 0xff, tensor->bytes);  // pages are touched now, not while timing
  memset(tensor->first, 0xff, tensor->bytes);
}

void create_buffers(Run *run) {
  enter(run, STAGE_BUFFERS);
  Signature *signature = run->signature;
  double start = now_us();
  resolve_outputs(run);
  for (size_t i = 0; i < signature->input_count; i++) create_buffer(run, i, &signature->inputs[i], false);
  for (size_t i = 0; i < signature->output_count; i++) create_buffer(run, i, &signature->outputs[i], true);
  run->facts->buffers_us = now_us() - start;
}

// Copies between a buffer and host memory. Locking waits for the accelerator and converts its layout.
static int transfer(const Tensor *tensor, const void *from, void *to) {
  void *memory = NULL;
  int status = api.LockTensorBuffer(tensor->buffer, &memory, from ? BUFFER_WRITE : BUFFER_READ);
  if (status != STATUS_OK) return status;
  memcpy(from ? memory : to, from ? from : memory, tensor->bytes);
  return api.UnlockTensorBuffer(tensor->buffer);
}

static double upload(Run *run, const void *const *data) {
  double start = now_us();
  for (size_t i = 0; i < run->signature->input_count; i++) {
    check(run, transfer(&run->signature->inputs[i], data[i], NULL), KIND_RUN, "writing an input");
  }
  return now_us() - start;
}

static Handles handles_of(const Signature *signature) {
  Handles handles;
  handles.inputs = allocate(signature->input_count, sizeof(void *));
  handles.outputs = allocate(signature->output_count, sizeof(void *));
  for (size_t i = 0; i < signature->input_count; i++) handles.inputs[i] = signature->inputs[i].buffer;
  for (size_t i = 0; i < signature->output_count; i++) handles.outputs[i] = signature->outputs[i].buffer;
  return handles;
}

// One inference. On a GPU the call may return before the work is done: only with the outputs read is it over, so both
// parts are timed. Nothing of ours is allocated or written to a file in here.
static void run_once(Run *run, const Handles *handles, double *invoke_us, double *read_us) {
  const Signature *signature = run->signature;
  for (size_t i = 0; i < signature->output_count; i++) {
    bool has_event = false;  // left by the previous run; the runtime refuses outputs that have one
    api.HasTensorBufferEvent(handles->outputs[i], &has_event);
    if (has_event) api.ClearTensorBufferEvent(handles->outputs[i]);
  }
  double start = now_us();
  int status = api.RunCompiledModel(run->compiled, (size_t)run->facts->signature_index, signature->input_count,
                                    handles->inputs, signature->output_count, handles->outputs);
  double middle = now_us();
  check(run, status, KIND_RUN, "running the model");
  for (size_t i = 0; i < signature->output_count && status == STATUS_OK; i++) {
    status = transfer(&signature->outputs[i], NULL, signature->outputs[i].host);
  }
  *invoke_us = middle - start;
  *read_us = now_us() - middle;
  check(run, status, KIND_RUN, "reading an output");
}

static void save_outputs(Run *run, long sample) {
  Signature *signature = run->signature;
  for (size_t i = 0; i < signature->output_count; i++) {
    Tensor *tensor = &signature->outputs[i];
    char name[64];
    output_file(name, sizeof name, sample, i);
    const char *path = path_in(run->options->out, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || !write_all(file, tensor->host, tensor->bytes) || close(file) != 0) {
      fail(run, KIND_OUTPUT, STATUS_NONE, "the output file %s cannot be written: %s", path, strerror(errno));
    }
    run->checksums[(size_t)sample * signature->output_count + i] = crc32_of(tensor->host, tensor->bytes);
    if (sample == 0) memcpy(tensor->first, tensor->host, tensor->bytes);
  }
}

static void run_samples(Run *run, const Handles *handles, const void *const *data) {
  const Signature *signature = run->signature;
  run->samples = allocate((size_t)run->options->samples, sizeof(Sample));
  run->checksums = allocate((size_t)run->options->samples * signature->output_count, sizeof(uint32_t));
  for (long i = 0; i < run->options->samples; i++) {
    enter(run, i == 0 ? STAGE_FIRST_RUN : STAGE_SAMPLES);
    Sample *sample = &run->samples[i];
    sample->upload_us = upload(run, data + (size_t)i * signature->input_count);
    run_once(run, handles, &sample->invoke_us, &sample->read_us);
    save_outputs(run, i);
    run->sample_count = i + 1;
  }
}

static Times times_for(long count) {
  Times times = {.room = count > RUNS_KEPT ? count + count % 2 : RUNS_KEPT, .stride = 1};
  times.invoke_us = allocate((size_t)times.room, sizeof(double));
  times.read_us = allocate((size_t)times.room, sizeof(double));
  return times;
}

// Keeps a run's times if it is due; when all room is taken, every second one goes and the distance doubles. What is
// kept is so spread evenly over the whole phase.
static void keep(Times *times, double invoke_us, double read_us) {
  long number = times->total++;
  if (number % times->stride != 0) return;
  if (times->kept == times->room) {
    times->kept /= 2;
    times->stride *= 2;
    for (long i = 0; i < times->kept; i++) {
      times->invoke_us[i] = times->invoke_us[2 * i];
      times->read_us[i] = times->read_us[2 * i];
    }
  }
  times->invoke_us[times->kept] = invoke_us;
  times->read_us[times->kept++] = read_us;
}

// Whether a phase of `done` runs, begun at `start_us`, goes on.
static bool goes_on(const Run *run, long done, double start_us, long count, double seconds) {
  double elapsed = (now_us() - start_us) / 1e6;
  if (done > 0 && elapsed >= run->options->max_seconds) return false;
  return done < count || elapsed < seconds;
}

static void run_phase(Run *run, const Handles *handles, Times *times, long count, double seconds) {
  *times = times_for(count);
  double start = now_us();
  while (goes_on(run, times->total, start, count, seconds)) {
    double invoke_us, read_us;
    run_once(run, handles, &invoke_us, &read_us);
    keep(times, invoke_us, read_us);
    atomic_store_explicit(&run->facts->run, times->total, memory_order_relaxed);
  }
}

static bool outputs_repeat(const Signature *signature) {
  for (size_t i = 0; i < signature->output_count; i++) {
    if (memcmp(signature->outputs[i].host, signature->outputs[i].first, signature->outputs[i].bytes) != 0) return false;
  }
  return true;
}

void measure(Run *run, const void *const *data) {
  Handles handles = handles_of(run->signature);
  run_samples(run, &handles, data);
  upload(run, data);  // the timed runs are sample 0's
  enter(run, STAGE_WARMUP);
  run_phase(run, &handles, &run->warmup, run->options->warmup, run->options->warmup_seconds);
  enter(run, STAGE_RUN);
  run_phase(run, &handles, &run->timed, run->options->runs, run->options->min_seconds);
  if (run->timed.total > 0) run->repeatable = outputs_repeat(run->signature);
}
