// Forward attention of one piece (docs/numerics.md, A1-A4). Key blocks outside, tiles of queries inside: a
// block is packed once per piece and every row keeps its state (max, sum, weighted values) in scratch memory.
#pragma once

#include "core/elementary.h"
#include "device/cpu/attention/attention_dropout.h"
#include "device/cpu/attention/attention_kernels.h"
#include "device/cpu/attention/attention_lanes.h"
#include "device/cpu/attention/attention_words.h"

namespace megalith::cpu {

template <class Family, class T>
struct ForwardKernel {
  using F = typename Family::Floats;
  using Words = AttentionWords<Family, T>;
  const ForwardPiece& piece;
  const AttentionGeometry& geometry = piece.geometry;
  const std::size_t padded = padded_to_lanes(geometry.head_size);
  const ForwardLayout at = forward_layout(geometry, piece.count);
  float* const scratch = piece.scratch;
  const std::int64_t rows = geometry.group * piece.count;
  // Keys and values that are read after the present block. A cache is read once, by short runs that nothing
  // else foresees; asking for all of them at once would fill the queue of outstanding misses and stop the
  // thread until they are there, so they are asked for a few at a time, between other work.
  struct Coming {
    ConstRows k, v;
    std::int64_t key, end;
  };
  Coming coming{};

  void run() {
    const std::int64_t end = piece.first + piece.count;
    const std::int64_t first_key = geometry.first_key(piece.first);
    const std::int64_t first_block = first_key / geometry.key_block * geometry.key_block;
    for (int head = 0; head < geometry.group; ++head) {
      Words::pack_along(static_cast<const T*>(piece.q.base) + head * geometry.head_size, piece.q.row,
                        piece.count, geometry.head_size, query_words(head, 0), padded);
    }
    for (std::int64_t split = split_of(first_key); split < end; split += geometry.attention_split) {
      start_split();
      const std::int64_t split_end =
          split + geometry.attention_split < end ? split + geometry.attention_split : end;
      for (std::int64_t block = split > first_block ? split : first_block; block < split_end;
           block += geometry.key_block) {
        visit_block(block, end);
      }
      close_split(split);
    }
    finish();
  }

  float* row_of(std::size_t part, int head, std::int64_t i) const {
    return scratch + part + static_cast<std::size_t>(head * piece.count + i) * padded;
  }
  // Queries stand along.
  float* query_words(int head, std::int64_t i) const {
    return scratch + at.q +
           static_cast<std::size_t>(
               Words::words((head * piece.count + i) * static_cast<std::int64_t>(padded)));
  }
  // The first key of the split that holds a key.
  std::int64_t split_of(std::int64_t key) const {
    return key / geometry.attention_split * geometry.attention_split;
  }

  void start_split() {
    for (std::int64_t r = 0; r < rows; ++r) {
      scratch[at.max + static_cast<std::size_t>(r)] = -__builtin_inff();
      scratch[at.sum + static_cast<std::size_t>(r)] = 0.0f;
    }
    fill_zero<F>(scratch + at.o, static_cast<std::size_t>(rows) * padded);
  }

  Coming after_block(std::int64_t block, std::int64_t end) const {
    const std::int64_t next = block + geometry.key_block;
    if (next < end)
      return {piece.k, piece.v, next, next + geometry.key_block < end ? next + geometry.key_block : end};
    return {piece.next_k, piece.next_v, 0,
            piece.next_keys < geometry.key_block ? piece.next_keys : geometry.key_block};
  }
  void ask_for_some() {
    constexpr std::int64_t kLinesAsked = 24;
    for (std::int64_t lines = 0; lines < kLinesAsked && coming.key < coming.end; ++coming.key)
      lines += ask_for_row(coming.k, coming.key) + ask_for_row(coming.v, coming.key);
  }
  std::int64_t ask_for_row(const ConstRows& from, std::int64_t key) const {
    constexpr std::int64_t kLine = 64 / sizeof(T);
    const T* row = static_cast<const T*>(from.base) + key * from.row;
    for (std::int64_t d = 0; d < geometry.head_size; d += kLine) __builtin_prefetch(row + d, 0, 2);
    return (geometry.head_size + kLine - 1) / kLine;
  }

  void visit_block(std::int64_t block, std::int64_t end) {
    coming = after_block(block, end);
    const std::int64_t valid = end - block < geometry.key_block ? end - block : geometry.key_block;
    const int used = static_cast<int>(padded_to_lanes(valid));
    pack_block(block, valid, used);
    const std::int64_t from =
        block > piece.first ? block - piece.first : 0;                   // earlier queries see none of it
    const std::int64_t past = geometry.past_block(block) - piece.first;  // later queries see none of it
    const std::int64_t to = past < piece.count ? past : piece.count;
    for (int head = 0; head < geometry.group; ++head) {
      for (std::int64_t i = from; i < to; i += kForwardTile) {
        const std::int64_t left = to - i;
        visit_tile(head, block, used, i, left < kForwardTile ? static_cast<int>(left) : kForwardTile);
      }
    }
  }

  // Keys as columns, values across, sixteen at a time.
  void pack_block(std::int64_t block, std::int64_t valid, int used) {
    constexpr int kTogether = 16;
    float* values = scratch + at.values;
    for (int first = 0; first < used; first += kTogether) {
      const std::int64_t count = valid - first < kTogether ? valid - first : kTogether;
      float* to = values + Words::words(first * static_cast<std::ptrdiff_t>(padded));
      ask_for_some();
      Words::pack_columns(static_cast<const T*>(piece.k.base), piece.k.row, block + first, count,
                          geometry.head_size, kTogether, padded, to, scratch + at.keys + first, used);
      ask_for_some();
      Words::pack_across(static_cast<const T*>(piece.v.base) + (block + first) * piece.v.row, piece.v.row, 0,
                         count, kTogether, geometry.head_size, to, padded);
    }
  }

  // Queries i .. i + n - 1 of one head against the packed block, of which `used` keys are packed.
  void visit_tile(int head, std::int64_t block, int used, std::int64_t i, int n) {
    const std::int64_t reach = piece.first + i + n - block;  // keys the last query sees
    const int width = reach < used ? static_cast<int>(padded_to_lanes(reach)) : used;
    float* weights = scratch + at.weights;
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(padded);
    ask_for_some();
    Words::product(n, width, geometry.head_size, {query_words(head, i), Words::words(stride), 1},
                   scratch + at.keys, used, weights, width, true);
    const float* factors = nullptr;
    if (piece.dropout != nullptr) {
      float* drawn = scratch + at.factors;
      fill_factors<F>(*piece.dropout, head, piece.document + piece.first + i, n, piece.document + block,
                      width, scratch + at.draws, drawn);
      factors = drawn;
    }
    ask_for_some();
    float* maximum = scratch + at.max + head * piece.count + i;
    float* sum = scratch + at.sum + head * piece.count + i;
    const F before = F::load_first(maximum, n);
    const F after = highest_scores(block, i, n, width, weights, before);
    const F alpha = exp_softmax_lanes(before - after);
    const F block_sum = weigh(block, i, n, width, factors, after, weights);
    after.store_first(maximum, n);
    (F::load_first(sum, n) * alpha + block_sum).store_first(sum, n);
    alignas(64) float alphas[16];
    alpha.store(alphas);
    for (int t = 0; t < n; ++t) {
      if (alphas[t] == 1.0f) continue;  // x * 1 is x: saves time, changes nothing
      float* o = row_of(at.o, head, i + t);
      const F factor = F::broadcast(alphas[t]);
      for (std::size_t d = 0; d < padded; d += 16) (F::load(o + d) * factor).store(o + d);
    }
    ask_for_some();
    Words::product(n, static_cast<int>(padded), width, {weights, width, 1}, scratch + at.values, stride,
                   row_of(at.o, head, i), stride, false);
  }

  // The keys of a block that one of a tile's queries sees.
  Visible visible_to(std::int64_t query, std::int64_t block) const {
    return {geometry.first_key(query) - block, query - block + 1};
  }
  static bool all_visible(Visible visible, int width) { return visible.begin <= 0 && visible.end >= width; }

  // Lane t is row t's greatest score of this block and all before it. The greatest of scaled scores is the
  // greatest score, scaled.
  F highest_scores(std::int64_t block, std::int64_t i, int n, int width, const float* scores, F before) {
    const F lowest = F::broadcast(-__builtin_inff());
    F highest[16];
    for (int t = 0; t < 16; ++t) highest[t] = lowest;
    for (int t = 0; t < n; ++t) {
      const float* row = scores + t * width;
      const Visible visible = visible_to(piece.first + i + t, block);
      F greatest = lowest;
      if (all_visible(visible, width)) {
        for (int j = 0; j < width; j += 16) greatest = max(greatest, F::load(row + j));
      } else {
        for (int j = 0; j < width; j += 16)
          greatest = max(greatest, only_visible(visible, j, F::load(row + j), lowest));
      }
      highest[t] = greatest;
    }
    const F block_max = maxima_of_rows(highest) * F::broadcast(geometry.scale);
    return select(less(before, block_max), block_max, before);
  }

  // Scores of the tile's rows to rounded (dropped) weights exp(s - m'); lane t is row t's sum of weights.
  F weigh(std::int64_t block, std::int64_t i, int n, int width, const float* factors, F after,
          float* weights) {
    alignas(64) float references[16];
    after.store(references);
    F total[16];
    for (int t = 0; t < 16; ++t) total[t] = F::zero();
    for (int t = 0; t < n; ++t) {
      float* row = weights + t * width;
      const float* row_factors = factors == nullptr ? nullptr : factors + t * width;
      const F reference = F::broadcast(references[t]);
      const Visible visible = visible_to(piece.first + i + t, block);
      if (all_visible(visible, width)) {
        total[t] = weigh_row<false>(row, width, visible, row_factors, reference);
      } else {
        total[t] = weigh_row<true>(row, width, visible, row_factors, reference);
      }
    }
    return sums_of_rows(total);
  }

  template <bool kMasked>
  F weigh_row(float* row, int width, Visible visible, const float* factors, F reference) {
    const F scale = F::broadcast(geometry.scale);
    F total = F::zero();
#pragma GCC unroll 4
    for (int j = 0; j < width; j += 16) {
      F weight = exp_softmax_lanes(F::load(row + j) * scale - reference);
      if constexpr (kMasked) weight = only_visible(visible, j, weight, F::zero());
      total = total + weight;
      if (factors != nullptr) weight = weight * F::load(factors + j);
      Words::store_rounded(weight, row, j);  // never past what is read yet
    }
    return total;
  }

  // The split's state joins what earlier splits left; a query's first is taken as it is.
  void close_split(std::int64_t split) {
    const std::int64_t from = split > piece.first ? split - piece.first : 0;
    for (int head = 0; head < geometry.group; ++head) {
      for (std::int64_t i = from; i < piece.count; ++i) {
        const std::int64_t own = split_of(geometry.first_key(piece.first + i));
        if (split < own) continue;
        const std::size_t r = static_cast<std::size_t>(head * piece.count + i);
        float* joined = scratch + at.joined + r * padded;
        const float* o = scratch + at.o + r * padded;
        if (split == own) {
          scratch[at.joined_max + r] = scratch[at.max + r];
          scratch[at.joined_sum + r] = scratch[at.sum + r];
          for (std::size_t d = 0; d < padded; d += 16) F::load(o + d).store(joined + d);
        } else {
          join(&scratch[at.joined_max + r], &scratch[at.joined_sum + r], joined, scratch[at.max + r],
               scratch[at.sum + r], o);
        }
      }
    }
  }

  // (m1, l1, o1) becomes the state over both sets of keys: M = max, each side scaled by exp(m - M).
  void join(float* m1, float* l1, float* o1, float m2, float l2, const float* o2) {
    const float m = *m1 > m2 ? *m1 : m2;
    const F a1 = exp_lanes(F::broadcast(*m1 - m));
    const F a2 = exp_lanes(F::broadcast(m2 - m));
    alignas(64) float l[16];
    (F::broadcast(*l1) * a1 + F::broadcast(l2) * a2).store(l);
    *m1 = m;
    *l1 = l[0];
    for (std::size_t d = 0; d < padded; d += 16) (F::load(o1 + d) * a1 + F::load(o2 + d) * a2).store(o1 + d);
  }

  void finish() {
    for (int head = 0; head < geometry.group; ++head) {
      for (std::int64_t i = 0; i < piece.count; ++i) {
        const std::size_t r = static_cast<std::size_t>(head * piece.count + i);
        const F sum = F::broadcast(scratch[at.joined_sum + r]);
        const float* o = scratch + at.joined + r * padded;
        T* out = static_cast<T*>(piece.out.base) + i * piece.out.row + head * geometry.head_size;
        for (int d = 0; d < geometry.head_size; d += 16) {
          const F result = F::load(o + d) / sum + F::zero();  // -0 + 0 = +0
          const int left = geometry.head_size - d;
          if (left >= 16) {
            result.store(out + d);
          } else {
            result.store_first(out + d, left);
          }
        }
        if (piece.log_sum_exp == nullptr) continue;
        alignas(64) float lse[16];
        (F::broadcast(scratch[at.joined_max + r]) + log_lanes(sum)).store(lse);
        piece.log_sum_exp[head * piece.log_sum_exp_head + i] = lse[0];
      }
    }
  }
};

}  // namespace megalith::cpu
