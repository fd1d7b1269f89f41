// How weights get into a compiled network, and whether this processor can run it.
#pragma once

#define EXPORT __attribute__((visibility("default")))

// The contents of a file beside this one, as read-only data.
#if defined(__APPLE__)
#define WEIGHTS(file)                                                             \
  asm(".const_data\n.balign 64\n_mmpose_lite_weights:\n.incbin \"" file "\"\n.text\n"); \
  extern "C" __attribute__((visibility("hidden"))) const float weights[]          \
      asm("_mmpose_lite_weights");
#else
#define WEIGHTS(file)                                                             \
  asm(".pushsection .rodata\n.balign 64\nmmpose_lite_weights:\n.incbin \"" file   \
      "\"\n.popsection\n");                                                       \
  extern "C" __attribute__((visibility("hidden"))) const float weights[]          \
      asm("mmpose_lite_weights");
#endif

// Whether the processor has what the compiler was allowed to use.
extern "C" EXPORT int mmpose_lite_native_supported() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#if defined(__AVX512F__)
  if (!__builtin_cpu_supports("avx512f")) return 0;
#endif
#if defined(__AVX512VL__)
  if (!__builtin_cpu_supports("avx512vl")) return 0;
#endif
#if defined(__AVX2__)
  if (!__builtin_cpu_supports("avx2")) return 0;
#endif
#if defined(__FMA__)
  if (!__builtin_cpu_supports("fma")) return 0;
#endif
#endif
  return 1;
}
