// Operations on maps of floats with channels last, as compiled networks call them.
//
// A map is a pointer and the floats from a pixel to the next ("step"), so that a run of
// its channels is a map too. Nothing is ever written beyond the channels of a map.
// Vectors are the compiler's own: LANES floats, as wide as the machine has them, and
// narrower ones for the channels that remain.
#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

#define INLINE inline __attribute__((always_inline))

// ------------------------------------------------------------------ vectors
template <int L>
struct VecOf {
  typedef float type __attribute__((vector_size(L * 4)));
  typedef int whole __attribute__((vector_size(L * 4)));
};
template <>
struct VecOf<1> {
  typedef float type;
  typedef int whole;
};
template <int L>
using Vec = typename VecOf<L>::type;

template <int L>
INLINE Vec<L> load(const float* from) {  // from any address
  Vec<L> value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <int L>
INLINE void store(float* to, Vec<L> value) {
  std::memcpy(to, &value, sizeof value);
}
template <int L>
INLINE Vec<L> spread(float value) {
  return value - Vec<L>{};
}
template <int L>
INLINE Vec<L> larger(Vec<L> a, Vec<L> b) {
  return a > b ? a : b;
}
template <int L>
INLINE Vec<L> smaller(Vec<L> a, Vec<L> b) {
  return a < b ? a : b;
}

// e^x to about 1e-7: 2^n p(r) with x = n log(2) + r.
template <int L>
INLINE Vec<L> exponential(Vec<L> x) {
  using V = Vec<L>;
  using W = typename VecOf<L>::whole;
  x = smaller<L>(larger<L>(x, spread<L>(-87.0f)), spread<L>(88.0f));
  // Adding 1.5 * 2^23 rounds; the integer then stands in the lowest bits.
  const V shifted = x * 1.44269504f + 12582912.0f;
  const V n = shifted - 12582912.0f;
  V r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  V p = spread<L>(1.9875691e-4f);
  p = p * r + 1.3981999e-3f;
  p = p * r + 8.3334519e-3f;
  p = p * r + 4.1665795e-2f;
  p = p * r + 1.6666665e-1f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  W bits, power;
  std::memcpy(&bits, &p, sizeof bits);
  std::memcpy(&power, &shifted, sizeof power);
  bits = bits + (power << 23);
  std::memcpy(&p, &bits, sizeof p);
  return p;
}

enum Activation { NONE, RELU, RELU6, SIGMOID, SILU, HARDSIGMOID, HARDSWISH };

template <Activation A, int L>
INLINE Vec<L> activate(Vec<L> x) {
  using V = Vec<L>;
  if constexpr (A == RELU) return larger<L>(x, V{});
  if constexpr (A == RELU6)
    return smaller<L>(larger<L>(x, V{}), spread<L>(6.0f));
  if constexpr (A == SIGMOID) return 1.0f / (exponential<L>(-x) + 1.0f);
  if constexpr (A == SILU) return x / (exponential<L>(-x) + 1.0f);
  if constexpr (A == HARDSIGMOID || A == HARDSWISH) {
    const V gate =
        smaller<L>(larger<L>(x + 3.0f, V{}), spread<L>(6.0f)) * (1.0f / 6.0f);
    if constexpr (A == HARDSIGMOID) return gate;
    return x * gate;
  }
  return x;
}

template <int L>
using Width = std::integral_constant<int, L>;

// Calls f(Width<L>, first channel) for C channels, in vectors as wide as fit.
template <int C, int L = LANES, int N = 0, class F>
INLINE void channels(const F& f) {
  constexpr int whole = (C - N) / L * L;
  for (int n = N; n < N + whole; n += L) f(Width<L>{}, n);
  if constexpr (N + whole < C) channels<C, L / 2, N + whole>(f);
}

// ------------------------------------------------------------------ products
// What is added to a product: nothing, or a map, perhaps smaller.
struct Nothing {
  static constexpr bool any = false;
  INLINE const float* at(int) const { return nullptr; }
};
struct Same {
  static constexpr bool any = true;
  const float* map;
  long step;
  INLINE const float* at(int pixel) const { return map + pixel * step; }
};
template <int H, int W, int FY, int FX>
struct Lifted {
  static constexpr bool any = true;
  const float* map;
  long step;
  INLINE const float* at(int pixel) const {
    const int row = pixel / W, image = row / H;
    const int y = (row - image * H) / FY, x = (pixel - row * W) / FX;
    return map + ((long)(image * (H / FY) + y) * (W / FX) + x) * step;
  }
};

// P pixels by J vectors of output channels, which stay in registers. Weights lie as
// they are read: bias, then J vectors for each of the depth's inputs. The inputs are
// `lines` runs of `depth` floats, `line` apart.
template <int L, int P, int J, Activation A, class R>
INLINE void tile(int depth, int lines, const float* x, long step, long line,
                 const float* weight, float* y, long out, const R& added, int pixel,
                 int channel) {
  using V = Vec<L>;
  V sum[P][J];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
    for (int j = 0; j < J; ++j) sum[p][j] = load<L>(weight + j * L);
  weight += J * L;
  for (int i = 0; i < lines; ++i, x += line)
    for (int k = 0; k < depth; ++k, weight += J * L) {
      V w[J];
#pragma GCC unroll 4
      for (int j = 0; j < J; ++j) w[j] = load<L>(weight + j * L);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        const V value = spread<L>(x[p * step + k]);
#pragma GCC unroll 4
        for (int j = 0; j < J; ++j) sum[p][j] += value * w[j];
      }
    }
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
    const float* other = R::any ? added.at(pixel + p) + channel : nullptr;
#pragma GCC unroll 4
    for (int j = 0; j < J; ++j) {
      V value = sum[p][j];
      if constexpr (R::any) value += load<L>(other + j * L);
      store<L>(y + p * out + j * L, activate<A, L>(value));
    }
  }
}

// The same for any number of pixels.
template <int L, int P, int J, Activation A, class R>
void product(int pixels, int depth, int lines, const float* x, long step, long line,
             const float* weight, float* y, long out, const R& added, int pixel,
             int channel) {
  int done = 0;
  for (; done + P <= pixels; done += P)
    tile<L, P, J, A>(depth, lines, x + done * step, step, line, weight, y + done * out,
                     out, added, pixel + done, channel);
  if constexpr (P > 1)
    if (done < pixels)
      product<L, P / 2, J, A>(pixels - done, depth, lines, x + done * step, step, line,
                              weight, y + done * out, out, added, pixel + done, channel);
}

// A 1x1 convolution: J vectors of its output channels, from `channel` on.
template <int L, int P, int J, Activation A, class R>
INLINE void pointwise(int pixels, int depth, const float* x, long step,
                      const float* weight, float* y, long out, const R& added,
                      int channel) {
  product<L, P, J, A>(pixels, depth, 1, x, step, 0, weight, y + channel, out, added, 0,
                      channel);
}

// A convolution of a map with borders, in which pixels lie without gaps.
template <int L, int P, int J, Activation A, class R>
void dense(int batch, int h, int w, int c, int kh, int kw, int sh, int sw,
           const float* x, const float* weight, float* y, long out, const R& added,
           int channel) {
  const int rows = (h - kh) / sh + 1, columns = (w - kw) / sw + 1;
  for (int b = 0; b < batch; ++b)
    for (int r = 0; r < rows; ++r) {
      const int pixel = (b * rows + r) * columns;
      product<L, P, J, A>(columns, kw * c, kh, x + (long)(b * h + r * sh) * w * c,
                          (long)sw * c, (long)w * c, weight,
                          y + pixel * out + channel, out, added, pixel, channel);
    }
}

// ------------------------------------------------------------------ depthwise
using Ungated = Nothing;
// A gate of every pixel, or of FY by FX pixels.
template <int FY, int FX>
struct Gate {
  static constexpr bool any = true;
  static constexpr int fy = FY, fx = FX;
  const float* map;
  long step;
};

// A row of the input, gated, without gaps, between zeros.
template <int C, class G>
void fetch(int b, int row, int h, int w, int border, const float* x, long step,
           const G& gate, float* to) {
  const long inner = (long)w * C, edge = (long)border * C;
  if (row < 0 || row >= h) {
    std::memset(to, 0, (inner + 2 * edge) * sizeof(float));
    return;
  }
  std::memset(to, 0, edge * sizeof(float));
  std::memset(to + edge + inner, 0, edge * sizeof(float));
  to += edge;
  const float* from = x + (long)(b * h + row) * w * step;
  if constexpr (G::any) {
    const int lines = h / G::fy, columns = w / G::fx;
    const float* factors = gate.map + (long)(b * lines + row / G::fy) * columns * gate.step;
    for (int q = 0; q < columns; ++q, factors += gate.step)
      for (int i = 0; i < G::fx; ++i, from += step, to += C)
        channels<C>([&](auto width, int n) {
          constexpr int L = decltype(width)::value;
          store<L>(to + n, load<L>(from + n) * load<L>(factors + n));
        });
  } else if (step == C) {
    std::memcpy(to, from, inner * sizeof(float));
  } else {
    for (int q = 0; q < w; ++q, from += step, to += C)
      channels<C>([&](auto width, int n) {
        constexpr int L = decltype(width)::value;
        store<L>(to + n, load<L>(from + n));
      });
  }
}

// P vectors that are `apart`, of a window's sum. Weights: bias, then those of each tap.
template <int L, int P, int K, Activation A>
INLINE void window(const float* const (&rows)[K], long at, long apart, int c,
                   const float* weight, long taps, float* y, long out) {
  using V = Vec<L>;
  V sum[P];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) sum[p] = load<L>(weight);
#pragma GCC unroll 7
  for (int i = 0; i < K; ++i) {
    const float* x = rows[i] + at;
#pragma GCC unroll 7
    for (int j = 0; j < K; ++j) {
      const V w = load<L>(weight + (i * K + j + 1) * taps);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) sum[p] += w * load<L>(x + p * apart + j * c);
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) store<L>(y + p * out, activate<A, L>(sum[p]));
}

constexpr int common(int a, int b) { return b ? common(b, a % b) : a; }

// A row of the output as one long vector: its channels recur with period C, those of
// its vectors with the least common multiple of C and LANES. Each tap has weights for
// C + LANES floats, so that a vector may begin with any channel.
template <int K, int C, Activation A>
INLINE void flat_row(const float* const (&rows)[K], int count, const float* weight,
                     float* y) {
  constexpr int L = LANES, P = 6;
  constexpr int period = C / common(C, L) * L;
  constexpr long taps = C % L ? C + L : C;
  const int periods = count / period;
  for (int v = 0; v < period; v += L) {
    const float* w = weight + v % C;
    int p = 0;
    for (; p + P <= periods; p += P) {
      const long at = (long)p * period + v;
      window<L, P, K, A>(rows, at, period, C, w, taps, y + at, period);
    }
    for (; p < periods; ++p) {
      const long at = (long)p * period + v;
      window<L, 1, K, A>(rows, at, 0, C, w, taps, y + at, 0);
    }
  }
  int at = periods * period;
  for (; at + L <= count; at += L)
    window<L, 1, K, A>(rows, at, 0, C, weight + at % C, taps, y + at, 0);
  if (at == count) return;
  if (count >= L) {  // some of it once more
    at = count - L;
    window<L, 1, K, A>(rows, at, 0, C, weight + at % C, taps, y + at, 0);
  } else {
    for (; at < count; ++at)
      window<1, 1, K, A>(rows, at, 0, C, weight + at % C, taps, y + at, 0);
  }
}

// A row of the output pixel by pixel.
template <int K, int C, Activation A>
INLINE void pixel_row(const float* const (&rows)[K], int columns, int stride,
                      const float* weight, float* y, long out) {
  constexpr int P = 4;
  constexpr long taps = C % LANES ? C + LANES : C;
  channels<C>([&](auto width, int n) {
    constexpr int L = decltype(width)::value;
    int q = 0;
    for (; q + P <= columns; q += P)
      window<L, P, K, A>(rows, (long)q * stride * C + n, (long)stride * C, C, weight + n,
                         taps, y + q * out + n, out);
    for (; q < columns; ++q)
      window<L, 1, K, A>(rows, (long)q * stride * C + n, 0, C, weight + n, taps,
                         y + q * out + n, out);
  });
}

// A depthwise convolution, K by K. The rows that a row of the output needs stand in
// `scratch`: K times the padded width times C floats.
template <int K, int C, Activation A, class G>
void depthwise(int batch, int h, int w, int border, int stride, const float* x,
               long step, const G& gate, const float* weight, float* y, long out,
               float* scratch) {
  const int rows = (h + 2 * border - K) / stride + 1;
  const int columns = (w + 2 * border - K) / stride + 1;
  const long size = ((long)(w + 2 * border) * C + 15) / 16 * 16;
  for (int b = 0; b < batch; ++b) {
    int fetched = 0;
    for (int r = 0; r < rows; ++r, y += columns * out) {
      const int first = r * stride;
      if (fetched < first) fetched = first;
      for (; fetched < first + K; ++fetched)
        fetch<C>(b, fetched - border, h, w, border, x, step, gate,
                 scratch + fetched % K * size);
      const float* lines[K];
      for (int i = 0; i < K; ++i) lines[i] = scratch + (first + i) % K * size;
      if (stride == 1 && out == C)
        flat_row<K, C, A>(lines, columns * C, weight, y);
      else
        pixel_row<K, C, A>(lines, columns, stride, weight, y, out);
    }
  }
}

// ------------------------------------------------------------------ means
// Means of windows that lie side by side; several sums, to be fast and exact.
template <int C>
void pool(int batch, int h, int w, int kh, int kw, const float* x, long step, float* y,
          long out) {
  const int rows = h / kh, columns = w / kw;
  const float factor = 1.0f / ((float)kh * (float)kw);
  for (int b = 0; b < batch; ++b)
    for (int r = 0; r < rows; ++r)
      for (int q = 0; q < columns; ++q, y += out)
        channels<C>([&](auto width, int n) {
          constexpr int L = decltype(width)::value;
          Vec<L> total{};
          for (int i = 0; i < kh; ++i) {
            const float* from =
                x + ((long)(b * h + r * kh + i) * w + q * kw) * step + n;
            Vec<L> sum[4] = {};
            int j = 0;
            for (; j + 4 <= kw; j += 4, from += 4 * step)
              for (int k = 0; k < 4; ++k) sum[k] += load<L>(from + k * step);
            for (; j < kw; ++j, from += step) sum[0] += load<L>(from);
            total += (sum[0] + sum[1]) + (sum[2] + sum[3]);
          }
          store<L>(y + n, total * factor);
        });
}

// ------------------------------------------------------------------ up-sampling
// Rows and columns lie between two of the input; `share` is that of the second.
struct Between {
  const int* first;
  const int* second;
  const float* share;
};

template <int C, class R>
void bilinear(int batch, int h, int w, int rows, int columns, const Between& across,
              const Between& along, const float* x, long step, float* y, long out,
              const R& added, float* scratch) {
  int pixel = 0;
  for (int b = 0; b < batch; ++b)
    for (int r = 0; r < rows; ++r) {
      const float* above = x + (long)(b * h + across.first[r]) * w * step;
      const float* below = x + (long)(b * h + across.second[r]) * w * step;
      const float share = across.share[r];
      for (int q = 0; q < w; ++q)
        channels<C>([&](auto width, int n) {
          constexpr int L = decltype(width)::value;
          const auto one = load<L>(above + q * step + n);
          const auto other = load<L>(below + q * step + n);
          store<L>(scratch + q * C + n, one * (1.0f - share) + other * share);
        });
      for (int q = 0; q < columns; ++q, ++pixel) {
        const float* left = scratch + along.first[q] * C;
        const float* right = scratch + along.second[q] * C;
        const float part = along.share[q];
        const float* other = added.at(pixel);
        channels<C>([&](auto width, int n) {
          constexpr int L = decltype(width)::value;
          Vec<L> value = load<L>(left + n) * (1.0f - part) + load<L>(right + n) * part;
          if constexpr (R::any) value += load<L>(other + n);
          store<L>(y + pixel * out + n, value);
        });
      }
    }
}

// ------------------------------------------------------------------ attention
// For an image, each channel by itself: logits of every place across an axis are the
// query's products along it, their softmax weights the mean of every place along it.
template <int C>
void axis_values(int along, int across, long step_along, long step_across,
                 const float* x, const float* query, float* values, float* logits) {
  channels<C>([&](auto width, int n) {
    constexpr int L = decltype(width)::value;
    using V = Vec<L>;
    V highest = spread<L>(-3.4e38f);
    for (int o = 0; o < across; ++o) {
      V sum{};
      for (int k = 0; k < along; ++k)
        sum += load<L>(query + k * C + n) *
               load<L>(x + k * step_along + o * step_across + n);
      store<L>(logits + o * L, sum);
      highest = larger<L>(highest, sum);
    }
    V total{};
    for (int o = 0; o < across; ++o) {
      const V part = exponential<L>(load<L>(logits + o * L) - highest);
      store<L>(logits + o * L, part);
      total += part;
    }
    for (int k = 0; k < along; ++k) {
      V sum{};
      for (int o = 0; o < across; ++o)
        sum += load<L>(logits + o * L) *
               load<L>(x + k * step_along + o * step_across + n);
      store<L>(values + k * C + n, sum / total);
    }
  });
}

// Norm over the channels of every pixel, then a gate.
template <int C>
void norm_gate(int pixels, float* y, long step, const float* scale, const float* shift,
               float eps) {
  for (int p = 0; p < pixels; ++p, y += step) {
    float mean = 0, square = 0;
    for (int n = 0; n < C; ++n) mean += y[n];
    mean /= C;
    for (int n = 0; n < C; ++n) square += (y[n] - mean) * (y[n] - mean);
    const float factor = 1.0f / std::sqrt(square / C + eps);
    channels<C>([&](auto width, int n) {
      constexpr int L = decltype(width)::value;
      const Vec<L> value = (load<L>(y + n) - mean) * factor;
      store<L>(y + n, activate<SIGMOID, L>(value * load<L>(scale + n) +
                                           load<L>(shift + n)));
    });
  }
}

// ------------------------------------------------------------------ layouts
// Channels first to channels last, between zeros.
static INLINE void import_image(int batch, int c, int h, int w, int ph, int pw,
                         const float* image, float* y) {
  const long row = (long)(w + 2 * pw) * c;
  for (int b = 0; b < batch; ++b) {
    float* to = y + (long)b * (h + 2 * ph) * row;
    std::memset(to, 0, ph * row * sizeof(float));
    std::memset(to + (h + ph) * row, 0, ph * row * sizeof(float));
    for (int r = 0; r < h; ++r) {
      float* line = to + (r + ph) * row;
      std::memset(line, 0, (long)pw * c * sizeof(float));
      std::memset(line + (long)(w + pw) * c, 0, (long)pw * c * sizeof(float));
      for (int q = 0; q < w; ++q)
        for (int n = 0; n < c; ++n)
          line[(q + pw) * c + n] = image[((long)(b * c + n) * h + r) * w + q];
    }
  }
}

// Zeros around a map, which then has no gaps between pixels.
template <int C>
void pad(int batch, int h, int w, int ph, int pw, const float* x, long step, float* y) {
  for (int b = 0; b < batch; ++b)
    for (int r = -ph; r < h + ph; ++r, y += (long)(w + 2 * pw) * C)
      fetch<C>(b, r, h, w, pw, x, step, Ungated{}, y);
}

// Channels last to channels first.
static INLINE void export_map(int batch, int c, int pixels, const float* x, long step,
                       float* y) {
  constexpr int P = 16;  // pixels whose channels fit into the first cache
  for (int b = 0; b < batch; ++b, y += (long)c * pixels)
    for (int from = 0; from < pixels; from += P) {
      const int to = from + P < pixels ? from + P : pixels;
      for (int n = 0; n < c; ++n)
        for (int p = from; p < to; ++p)
          y[(long)n * pixels + p] = x[((long)b * pixels + p) * step + n];
    }
}
