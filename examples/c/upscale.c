/* Super-resolution of one image by a .tflite file of fixed size, with LiteRT's C API.
 *
 *   make                                       # against the libLiteRt.so of the Python package ai-edge-litert 2.3
 *   ./upscale MODEL.tflite IN.ppm OUT.ppm      # binary PPM (P6, 8 bits), of the size that the file takes
 *
 * The file must have one uint8 input [1, height, width, 3] and one uint8 output, as keras-rfdn's int8 files have.
 * It compiles as C99 and as C++. Exit status: 0, 1 where something failed, 2 for wrong arguments.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "litert_c_api.h"

#define FAIL(...) do { fprintf(stderr, "upscale: " __VA_ARGS__); fputc('\n', stderr); goto done; } while (0)
#define TRY(function, ...) do { \
    const LiteRtStatus status = function(__VA_ARGS__); \
    if (status) FAIL(#function " failed with LiteRtStatus %d (litert/c/litert_common.h)", (int)status); \
  } while (0)

/* The next number of a PPM header, after blanks and comments; -1 where there is none. */
static int header_number(FILE *file) {
  int c = fgetc(file), number = -1;
  while (c == '#' || c == ' ' || (c >= '\t' && c <= '\r')) {
    if (c == '#') while (c != '\n' && c != EOF) c = fgetc(file);
    c = fgetc(file);
  }
  for (; c >= '0' && c <= '9' && number < 100000; c = fgetc(file)) number = 10 * (number < 0 ? 0 : number) + c - '0';
  return number; /* one blank after it is read too, as the format says */
}

/* Pixels of a binary PPM file, RGB in rows, to be freed; NULL after a message. */
static uint8_t *read_ppm(const char *path, int *height, int *width) {
  uint8_t *pixels = NULL;
  size_t size = 0;
  FILE *file = fopen(path, "rb");
  if (!file) FAIL("can't open %s", path);
  if (fgetc(file) != 'P' || fgetc(file) != '6') FAIL("%s is no binary PPM: it must begin with P6", path);
  *width = header_number(file);
  *height = header_number(file);
  if (*width < 1 || *height < 1 || header_number(file) != 255) FAIL("%s needs a size and the largest value 255", path);
  size = (size_t)*width * (size_t)*height * 3;
  pixels = (uint8_t *)malloc(size);
  if (!pixels || fread(pixels, 1, size, file) != size) {
    free(pixels);
    pixels = NULL;
    FAIL("%s is cut short: %dx%d pixels take %zu bytes", path, *width, *height, size);
  }
done:
  if (file) fclose(file);
  return pixels;
}

/* 0 when all of the picture is on the disk; else nothing is left of it. */
static int write_ppm(const char *path, const uint8_t *pixels, int height, int width) {
  const size_t size = (size_t)width * (size_t)height * 3;
  FILE *file = fopen(path, "wb");
  int good = file && fprintf(file, "P6\n%d %d\n255\n", width, height) > 0 && fwrite(pixels, 1, size, file) == size;
  if (file && fclose(file)) good = 0;
  if (file && !good) remove(path);
  return good ? 0 : 1;
}

static int is_image(const LiteRtRankedTensorType *type) {
  const LiteRtLayout *layout = &type->layout;
  return type->element_type == kLiteRtElementTypeUInt8 && layout->rank == 4 && layout->dimensions[0] == 1 &&
         layout->dimensions[3] == 3;
}

int main(int argc, char **argv) {
  LiteRtEnvironment environment = NULL;
  LiteRtModel model = NULL;
  LiteRtSignature signature = NULL;
  LiteRtTensor tensor = NULL;
  LiteRtOptions options = NULL;
  LiteRtOpaqueOptions cpu = NULL;
  LiteRtCompiledModel compiled = NULL;
  LiteRtTensorBufferRequirements requirements = NULL;
  LiteRtTensorBuffer lr = NULL, sr = NULL;
  LiteRtRankedTensorType lr_type, sr_type;
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  const int32_t *in = lr_type.layout.dimensions, *out = sr_type.layout.dimensions;
  struct timespec start, end;
  uint8_t *pixels = NULL;
  void *memory = NULL;
  char *threads = NULL;
  size_t inputs = 0, outputs = 0;
  int height = 0, width = 0, exit_status = 1;

  if (argc != 4) {
    fprintf(stderr, "usage: %s MODEL.tflite IN.ppm OUT.ppm\n", argv[0]);
    return 2;
  }
  pixels = read_ppm(argv[2], &height, &width);
  if (!pixels) goto done;
  TRY(LiteRtCreateEnvironment, 0, NULL, &environment);
  TRY(LiteRtCreateModelFromFile, environment, argv[1], &model);
  TRY(LiteRtGetModelSignature, model, 0, &signature);
  TRY(LiteRtGetNumSignatureInputs, signature, &inputs);
  TRY(LiteRtGetNumSignatureOutputs, signature, &outputs);
  if (inputs != 1 || outputs != 1) FAIL("%s must have one input and one output", argv[1]);
  TRY(LiteRtGetSignatureInputTensorByIndex, signature, 0, &tensor);
  TRY(LiteRtGetRankedTensorType, tensor, &lr_type);
  TRY(LiteRtGetSignatureOutputTensorByIndex, signature, 0, &tensor);
  TRY(LiteRtGetRankedTensorType, tensor, &sr_type);
  if (!is_image(&lr_type) || !is_image(&sr_type)) FAIL("%s must take and give uint8 [1, height, width, 3]", argv[1]);
  if (in[1] < 1 || in[2] < 1 || out[1] < 1 || out[2] < 1)
    FAIL("%s has an open size; fix it: python tflite/reshape.py MODEL.tflite 1,%d,%d,3 OUT.tflite", argv[1], height,
         width);
  if (in[1] != height || in[2] != width)
    FAIL("%s takes images of %dx%d (width x height), %s has %dx%d", argv[1], in[2], in[1], argv[2], width, height);

  TRY(LiteRtCreateOptions, &options);
  TRY(LiteRtSetOptionsHardwareAccelerators, options, kLiteRtHwAcceleratorCpu);
  threads = (char *)malloc(32);
  if (!threads) FAIL("no memory");
  snprintf(threads, 32, "num_threads = %d\n", cores < 1 ? 1 : cores > 4 ? 4 : (int)cores);
  TRY(LiteRtCreateOpaqueOptions, "xnnpack", threads, free, &cpu);
  threads = NULL; /* cpu has it now */
  TRY(LiteRtAddOpaqueOptions, options, cpu);
  cpu = NULL; /* and options has that */
  TRY(LiteRtCreateCompiledModel, environment, model, options, &compiled);
  TRY(LiteRtGetCompiledModelInputBufferRequirements, compiled, 0, 0, &requirements);
  TRY(LiteRtCreateManagedTensorBufferFromRequirements, environment, &lr_type, requirements, &lr);
  TRY(LiteRtGetCompiledModelOutputBufferRequirements, compiled, 0, 0, &requirements);
  TRY(LiteRtCreateManagedTensorBufferFromRequirements, environment, &sr_type, requirements, &sr);
  TRY(LiteRtLockTensorBuffer, lr, &memory, kLiteRtTensorBufferLockModeWrite);
  memcpy(memory, pixels, (size_t)height * (size_t)width * 3);
  TRY(LiteRtUnlockTensorBuffer, lr);
  clock_gettime(CLOCK_MONOTONIC, &start);
  TRY(LiteRtRunCompiledModel, compiled, 0, 1, &lr, 1, &sr);
  clock_gettime(CLOCK_MONOTONIC, &end);
  TRY(LiteRtLockTensorBuffer, sr, &memory, kLiteRtTensorBufferLockModeRead);
  exit_status = write_ppm(argv[3], (const uint8_t *)memory, out[1], out[2]);
  TRY(LiteRtUnlockTensorBuffer, sr);
  if (exit_status) FAIL("can't write %s", argv[3]);
  printf("%dx%d to %dx%d in %.1f ms\n", width, height, out[2], out[1],
         1e3 * (double)(end.tv_sec - start.tv_sec) + 1e-6 * (double)(end.tv_nsec - start.tv_nsec));

done:
  if (sr) LiteRtDestroyTensorBuffer(sr);
  if (lr) LiteRtDestroyTensorBuffer(lr);
  if (compiled) LiteRtDestroyCompiledModel(compiled);
  if (cpu) LiteRtDestroyOpaqueOptions(cpu);
  if (options) LiteRtDestroyOptions(options);
  if (model) LiteRtDestroyModel(model);
  if (environment) LiteRtDestroyEnvironment(environment);
  free(threads);
  free(pixels);
  return exit_status;
}
