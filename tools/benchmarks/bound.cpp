// The convolutions of a network as plain loops over channels-last maps, each once.
//
// Usage: bound LAYERS ROUNDS   times the layers in turns and prints a line per round:
//                              kind and seconds, for each kind of layer, and "peak".
//        bound --check         compares every kind with a naive loop; prints the largest
//                              difference over the largest output.
//
// A line of LAYERS: "conv C_in C_out kernel_h kernel_w stride_h stride_w pad_h pad_w
// groups H W" (of the input), or "gate C H W", or "sum C H W". Channels are padded to
// multiples of 8, borders with zeros; both is outside of what is timed, as a network
// written this way would keep its maps so. Weights lie as the loops read them.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

// Vectors of 16 and 8 floats; the compiler splits what the machine lacks.
typedef float V16 __attribute__((vector_size(64)));
typedef float V8 __attribute__((vector_size(32)));

template <typename V>
static inline V load(const float* from) {  // from any address
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename V>
static inline void store(float* to, V value) {
  std::memcpy(to, &value, sizeof value);
}

static inline int up8(int n) { return (n + 7) / 8 * 8; }
static inline double now() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

struct Conv {
  int c, n, kh, kw, sh, sw, ph, pw, groups, h, w;
  int oh() const { return (h + 2 * ph - kh) / sh + 1; }
  int ow() const { return (w + 2 * pw - kw) / sw + 1; }
  bool pointwise() const { return kh * kw == 1 && groups == 1 && sh * sw == 1; }
  bool depthwise() const { return groups == c && n == c && groups > 1; }
  const char* kind() const {
    return pointwise() ? "pointwise" : depthwise() ? "depthwise" : "dense";
  }
};

// P pixels by C vectors of output channels: accumulators stay in registers.
template <typename V, int P, int C>
static inline void block(const float* x, long step, const float* weight, int depth,
                         long row, V (&sum)[P][C]) {
  constexpr int L = sizeof(V) / 4;
  for (int k = 0; k < depth; ++k) {
    V w[C];
    for (int j = 0; j < C; ++j) w[j] = load<V>(weight + k * row + j * L);
    for (int p = 0; p < P; ++p) {
      V value = x[p * step + k] - V{};  // broadcast
      for (int j = 0; j < C; ++j) sum[p][j] += value * w[j];
    }
  }
}

template <typename V>
static inline V relu(V x) {
  return x > V{} ? x : V{};
}

// Output of P neighbouring pixels: all of the window, for C vectors from channel n on.
template <typename V, int P, int C>
static inline void pixels(const Conv& l, const float* x, long line, const float* weight,
                          const float* bias, float* y, int n) {
  constexpr int L = sizeof(V) / 4;
  const int cin = up8(l.c), cout = up8(l.n);
  V sum[P][C];
  for (int p = 0; p < P; ++p)
    for (int j = 0; j < C; ++j) sum[p][j] = load<V>(bias + n + j * L);
  // Channels of a window's line lie side by side, so they are one long row.
  if (cin == l.c) {
    for (int i = 0; i < l.kh; ++i)
      block<V, P, C>(x + i * line, (long)l.sw * cin,
                     weight + (long)i * l.kw * cin * cout + n, l.kw * cin, cout, sum);
  } else {
    for (int i = 0; i < l.kh; ++i)
      for (int j = 0; j < l.kw; ++j)
        block<V, P, C>(x + i * line + j * cin, (long)l.sw * cin,
                       weight + (long)(i * l.kw + j) * cin * cout + n, l.c, cout, sum);
  }
  for (int p = 0; p < P; ++p)
    for (int j = 0; j < C; ++j)
      store(y + (long)p * cout + n + j * L, relu(sum[p][j]));
}

template <int P>
static inline void all_channels(const Conv& l, const float* x, long line,
                                const float* weight, const float* bias, float* y) {
  const int cout = up8(l.n);
  int n = 0;
  for (; n + 64 <= cout; n += 64) pixels<V16, P, 4>(l, x, line, weight, bias, y, n);
  for (; n + 48 <= cout; n += 48) pixels<V16, P, 3>(l, x, line, weight, bias, y, n);
  for (; n + 32 <= cout; n += 32) pixels<V16, P, 2>(l, x, line, weight, bias, y, n);
  for (; n + 16 <= cout; n += 16) pixels<V16, P, 1>(l, x, line, weight, bias, y, n);
  for (; n + 8 <= cout; n += 8) pixels<V8, P, 1>(l, x, line, weight, bias, y, n);
}

// Input with borders, weights (kh, kw, c, n): any window, all channels with all.
static void dense(const Conv& l, const float* x, const float* weight, const float* bias,
                  float* y) {
  const int cin = up8(l.c), cout = up8(l.n);
  // A pointwise convolution knows no lines: its map is one long row.
  const bool flat = l.pointwise();
  const int oh = flat ? 1 : l.oh(), ow = flat ? l.oh() * l.ow() : l.ow();
  const long line = (long)(l.w + 2 * l.pw) * cin;
  constexpr int P = 6;
  for (int r = 0; r < oh; ++r) {
    const float* in = x + r * l.sh * line;
    float* out = y + (long)r * ow * cout;
    int q = 0;
    for (; q + P <= ow; q += P)
      all_channels<P>(l, in + (long)q * l.sw * cin, line, weight, bias,
                      out + (long)q * cout);
    for (; q < ow; ++q)
      all_channels<1>(l, in + (long)q * l.sw * cin, line, weight, bias,
                      out + (long)q * cout);
  }
}

template <typename V, int P>
static inline void window(const Conv& l, const float* x, long line, const float* weight,
                          const float* bias, float* y) {
  const int c = up8(l.c);
  V sum[P];
  for (int p = 0; p < P; ++p) sum[p] = load<V>(bias);
  for (int i = 0; i < l.kh; ++i)
    for (int j = 0; j < l.kw; ++j) {
      const V w = load<V>(weight + (i * l.kw + j) * c);
      for (int p = 0; p < P; ++p)
        sum[p] += w * load<V>(x + i * line + (long)(p * l.sw + j) * c);
    }
  for (int p = 0; p < P; ++p) store(y + (long)p * c, relu(sum[p]));
}

template <int P>
static inline void each_channel(const Conv& l, const float* x, long line,
                                const float* weight, const float* bias, float* y) {
  const int c = up8(l.c);
  int n = 0;
  for (; n + 16 <= c; n += 16)
    window<V16, P>(l, x + n, line, weight + n, bias + n, y + n);
  for (; n + 8 <= c; n += 8)
    window<V8, P>(l, x + n, line, weight + n, bias + n, y + n);
}

// Input with borders, weights (kh, kw, c).
static void depthwise(const Conv& l, const float* x, const float* weight,
                      const float* bias, float* y) {
  const int c = up8(l.c), oh = l.oh(), ow = l.ow();
  const long line = (long)(l.w + 2 * l.pw) * c;
  constexpr int P = 4;
  for (int r = 0; r < oh; ++r) {
    const float* in = x + r * l.sh * line;
    float* out = y + (long)r * ow * c;
    int q = 0;
    for (; q + P <= ow; q += P)
      each_channel<P>(l, in + (long)q * l.sw * c, line, weight, bias,
                      out + (long)q * c);
    for (; q < ow; ++q)
      each_channel<1>(l, in + (long)q * l.sw * c, line, weight, bias,
                      out + (long)q * c);
  }
}

static void gate(float* x, const float* factor, int c, long pixels) {
  for (long p = 0; p < pixels; ++p)
    for (int n = 0; n < c; n += 8)
      store(x + p * c + n, load<V8>(x + p * c + n) * load<V8>(factor + n));
}

static void sum(float* x, const float* other, long count) {
  for (long i = 0; i < count; i += 8)
    store(x + i, load<V8>(x + i) + load<V8>(other + i));
}

static std::vector<float> random_floats(long count, float scale) {
  std::vector<float> values(count);
  static unsigned state = 1;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = ((state >> 8) / 8388608.0f - 1.0f) * scale;
  }
  return values;
}

// Maps are shared by all layers, as a network's live and die: they stay in the caches.
struct Maps {
  std::vector<float> in, out;
  void fit(long count) {
    if ((long)in.size() < count) {
      in = random_floats(count, 1.0f);
      out = random_floats(count, 1.0f);
    }
  }
};

struct Layer {
  std::string kind;
  Conv conv{};
  long count = 0;
  std::vector<float> weight, bias;

  void run(Maps& maps) {
    if (kind == "gate")
      gate(maps.out.data(), weight.data(), up8(conv.c), (long)conv.h * conv.w);
    else if (kind == "sum")
      sum(maps.out.data(), maps.in.data(), count);
    else if (kind == "depthwise")
      depthwise(conv, maps.in.data(), weight.data(), bias.data(), maps.out.data());
    else
      dense(conv, maps.in.data(), weight.data(), bias.data(), maps.out.data());
  }
};

static Layer conv_layer(const Conv& l) {
  Layer layer;
  layer.kind = l.kind();
  layer.conv = l;
  const long taps = (long)l.kh * l.kw;
  const bool own = l.depthwise();
  const float scale = 1.0f / std::sqrt((float)taps * (own ? 1 : l.c));
  layer.weight = random_floats(taps * up8(l.c) * (own ? 1 : up8(l.n)), scale);
  layer.bias = random_floats(up8(l.n), scale);
  layer.count = std::max((long)(l.h + 2 * l.ph) * (l.w + 2 * l.pw) * up8(l.c),
                         (long)l.oh() * l.ow() * up8(l.n));
  return layer;
}

static std::vector<Layer> read_layers(const char* path, Maps& maps) {
  std::vector<Layer> layers;
  std::ifstream file(path);
  std::string text;
  while (std::getline(file, text)) {
    std::istringstream words(text);
    std::string kind;
    Conv l{};
    words >> kind;
    if (kind == "conv") {
      words >> l.c >> l.n >> l.kh >> l.kw >> l.sh >> l.sw >> l.ph >> l.pw >> l.groups >>
          l.h >> l.w;
      if (l.groups != 1 && !l.depthwise()) words.setstate(std::ios::failbit);
    } else {
      words >> l.c >> l.h >> l.w;
    }
    if (!words || (kind != "conv" && kind != "gate" && kind != "sum")) {
      std::cerr << "cannot read: " << text << "\n";
      std::exit(2);
    }
    Layer layer;
    if (kind == "conv") {
      layer = conv_layer(l);
    } else {
      layer.kind = kind;
      layer.conv = l;
      layer.count = (long)up8(l.c) * l.h * l.w;
      layer.weight = std::vector<float>(up8(l.c), 1.0f);
    }
    maps.fit(layer.count);
    layers.push_back(std::move(layer));
  }
  return layers;
}

// GFLOP/s of multiply-adds that wait for nothing, the best of several tries.
static double peak() {
  constexpr int N = 12;  // enough to hide the latency, few enough for registers
  const long turns = 500000;
  const V16 factor = V16{} + 0.999f, term = V16{} + 0.001f;
  double best = 0;
  volatile float sink = 0;
  for (int tries = 0; tries < 10; ++tries) {
    V16 sums[N];
#pragma GCC unroll 12
    for (int i = 0; i < N; ++i) sums[i] = V16{} + (float)(i + 2 + tries);
    const double start = now();
    for (long t = 0; t < turns; ++t) {
#pragma GCC unroll 12
      for (int i = 0; i < N; ++i) sums[i] = sums[i] * factor + term;
    }
    best = std::max(best, 2.0 * 16 * N * turns / (now() - start) / 1e9);
#pragma GCC unroll 12
    for (int i = 0; i < N; ++i) sink = sink + sums[i][0];
  }
  return best;
}

static double check_one(const Conv& l) {
  Layer layer = conv_layer(l);
  const int cin = up8(l.c), cout = up8(l.n);
  const int pw = l.w + 2 * l.pw;
  Maps maps;
  maps.fit(layer.count);
  layer.run(maps);
  double off = 0, largest = 1e-30;
  for (int r = 0; r < l.oh(); ++r)
    for (int q = 0; q < l.ow(); ++q)
      for (int n = 0; n < l.n; ++n) {
        double sum = layer.bias[n];
        for (int i = 0; i < l.kh; ++i)
          for (int j = 0; j < l.kw; ++j) {
            const int row = r * l.sh + i, column = q * l.sw + j;
            const float* x = &maps.in[((long)row * pw + column) * cin];
            const long tap = i * l.kw + j;
            if (l.depthwise()) {
              sum += (double)x[n] * layer.weight[tap * cin + n];
              continue;
            }
            for (int k = 0; k < l.c; ++k)
              sum += (double)x[k] * layer.weight[(tap * cin + k) * cout + n];
          }
        sum = std::max(sum, 0.0);
        const double got = maps.out[((long)r * l.ow() + q) * cout + n];
        off = std::max(off, std::fabs(got - sum));
        largest = std::max(largest, sum);
      }
  return off / largest;
}

static int check() {
  const Conv cases[] = {
      {3, 32, 3, 3, 2, 2, 1, 1, 1, 9, 14},    {20, 20, 1, 1, 1, 1, 0, 0, 1, 7, 5},
      {40, 120, 1, 1, 1, 1, 0, 0, 1, 1, 1},   {16, 72, 3, 3, 1, 1, 1, 1, 1, 5, 8},
      {20, 20, 3, 3, 1, 1, 1, 1, 20, 6, 9},   {80, 80, 3, 3, 2, 2, 1, 1, 80, 9, 7},
      {40, 40, 5, 5, 1, 1, 2, 2, 40, 6, 5},   {24, 17, 1, 1, 2, 2, 0, 0, 1, 6, 6},
      {300, 75, 1, 1, 1, 1, 0, 0, 1, 8, 6},
  };
  double worst = 0;
  for (const Conv& one : cases) worst = std::max(worst, check_one(one));
  std::printf("%.3g\n", worst);
  return worst < 1e-5 ? 0 : 1;
}

int main(int argc, char** argv) {
  if (argc == 2 && !std::strcmp(argv[1], "--check")) return check();
  if (argc != 3) {
    std::cerr << "usage: bound LAYERS ROUNDS | bound --check\n";
    return 2;
  }
  Maps maps;
  std::vector<Layer> layers = read_layers(argv[1], maps);
  const int rounds = std::atoi(argv[2]);
  for (int round = -2; round < rounds; ++round) {
    std::map<std::string, double> seconds;
    const double begun = now();
    double last = begun;
    for (Layer& layer : layers) {
      layer.run(maps);
      const double time = now();
      seconds[layer.kind] += time - last;
      last = time;
    }
    if (round < 0) continue;
    for (const auto& one : seconds)
      std::printf("%s %.9f ", one.first.c_str(), one.second);
    std::printf("all %.9f\n", last - begun);
  }
  std::printf("peak %.3f\n", peak());
  return 0;
}
