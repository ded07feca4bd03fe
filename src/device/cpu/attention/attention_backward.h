// Backward attention of one piece (docs/numerics.md, A7). Key blocks outside in ascending order, tiles of
// queries inside in ascending order: dQ continues one chain over the keys, dK and dV of a block one chain
// over the queries.
#pragma once

#include "core/elementary.h"
#include "device/cpu/attention/attention_dropout.h"
#include "device/cpu/attention/attention_kernels.h"
#include "device/cpu/attention/attention_lanes.h"
#include "device/cpu/attention/attention_words.h"

namespace megalith::cpu {

template <class Family, class T>
struct BackwardKernel {
  using F = typename Family::Floats;
  using Words = AttentionWords<Family, T>;
  const BackwardPiece& piece;
  const AttentionGeometry& geometry = piece.geometry;
  const std::size_t padded = padded_to_lanes(geometry.head_size);
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(padded);
  const BackwardLayout at = backward_layout(geometry, piece.count);
  float* const scratch = piece.scratch;
  // Packed row i holds query first + i - lead: pairs of rows are pairs of positions in the sequence.
  const std::int64_t lead = (piece.document + piece.first) % 2;
  const std::int64_t rows = (lead + piece.count + 1) / 2 * 2;
  const std::size_t block_floats = static_cast<std::size_t>(geometry.key_block) * padded;

  void run() {
    for (int head = 0; head < geometry.group; ++head) {
      pack_queries(piece.q, head, at.q);
      pack_queries(piece.dout, head, at.dout);
      fill_zero<F>(row_of(at.dq, head, 0), static_cast<std::size_t>(rows) * padded);
    }
    for (std::int64_t b = piece.first_block; b < piece.last_block; ++b) visit_block(b * geometry.key_block);
    if (piece.want_queries) {
      for (int head = 0; head < geometry.group; ++head) {
        store_rows(row_of(at.dq, head, lead), piece.count,
                   static_cast<T*>(piece.dq.base) + head * geometry.head_size, piece.dq.row);
      }
    }
  }

  float* row_of(std::size_t part, int head, std::int64_t i) const {
    return scratch + part +
           (static_cast<std::size_t>(head) * static_cast<std::size_t>(piece.count + 2) +
            static_cast<std::size_t>(i)) *
               padded;
  }

  // Queries and their gradients are needed along and across. A word that is one term serves both.
  float* along(std::size_t part, int head, std::int64_t i) const {
    return row_of(part, head, 0) + Words::words(i * static_cast<std::int64_t>(padded));
  }
  float* across(std::size_t part, int head, std::int64_t i) const {
    return Words::kPaired ? row_of(part, head, 0) + (piece.count + 2 + i) * stride / 2
                          : row_of(part, head, i);
  }

  void pack_queries(ConstRows from, int head, std::size_t part) {
    const T* first = static_cast<const T*>(from.base) + head * geometry.head_size;
    const std::int64_t filled = lead + piece.count;
    Words::pack_across(first, from.row, lead, filled, rows, geometry.head_size, across(part, head, 0),
                       padded);
    if constexpr (Words::kPaired) {
      Words::zero_along(along(part, head, 0), lead, padded);
      Words::pack_along(first, from.row, piece.count, geometry.head_size, along(part, head, lead), padded);
      Words::zero_along(along(part, head, filled), rows - filled, padded);
    }
  }

  void visit_block(std::int64_t block) {
    const std::int64_t end = piece.first + piece.count;  // later keys have no query here
    const std::int64_t reach = end < piece.length ? end : piece.length;
    const std::int64_t valid = reach - block < geometry.key_block ? reach - block : geometry.key_block;
    const int used = static_cast<int>(padded_to_lanes(valid));
    float* key_rows = scratch + at.key_rows;
    Words::pack_columns(static_cast<const T*>(piece.v.base), piece.v.row, block, valid, geometry.head_size,
                        used, padded, key_rows, scratch + at.values, used);
    Words::pack_columns(static_cast<const T*>(piece.k.base), piece.k.row, block, valid, geometry.head_size,
                        used, padded, key_rows, scratch + at.keys, used);
    Words::pack_across(static_cast<const T*>(piece.k.base) + block * piece.k.row, piece.k.row, 0, valid, used,
                       geometry.head_size, key_rows, padded);
    const std::int64_t from = block > piece.first ? (lead + block - piece.first) / 2 * 2 : 0;
    const std::int64_t past = geometry.past_block(block) - piece.first;  // later queries see none of it
    const std::int64_t to = past < piece.count ? (lead + past + 1) / 2 * 2 : rows;
    for (int head = 0; head < geometry.group; ++head) {
      if (piece.want_keys) {
        fill_zero<F>(head_part(at.dk, head), block_floats);
        fill_zero<F>(head_part(at.dv, head), block_floats);
      }
      for (std::int64_t i = from; i < to; i += kBackwardTile) {
        const std::int64_t left = to - i;
        visit_tile(head, block, used, i, left < kBackwardTile ? static_cast<int>(left) : kBackwardTile);
      }
    }
    if (piece.want_keys) {
      join_heads(at.dk);
      join_heads(at.dv);
      store_keys(scratch + at.dk, block, valid, piece.dk);
      store_keys(scratch + at.dv, block, valid, piece.dv);
    }
  }

  float* head_part(std::size_t part, int head) const {
    return scratch + part + static_cast<std::size_t>(head) * block_floats;
  }

  // Packed rows i .. i + n - 1 of one head against the packed block.
  void visit_tile(int head, std::int64_t block, int used, std::int64_t i, int n) {
    const std::int64_t reach = piece.first + i - lead + n - block;  // keys the last query sees
    const int width = reach < used ? static_cast<int>(padded_to_lanes(reach)) : used;
    float* weights = scratch + at.weights;
    float* gradients = scratch + at.gradients;
    Words::product(n, width, geometry.head_size, {along(at.q, head, i), Words::words(stride), 1},
                   scratch + at.keys, used, weights, width, true);
    Words::product(n, width, geometry.head_size, {along(at.dout, head, i), Words::words(stride), 1},
                   scratch + at.values, used, gradients, width, true);
    float* factors = nullptr;
    if (piece.dropout != nullptr) {
      factors = scratch + at.factors;
      fill_factors<F>(*piece.dropout, head, piece.document + piece.first + i - lead, n,
                      piece.document + block, width, scratch + at.draws, factors);
    }
    for (int t = 0; t < n; ++t) {
      weigh(head, block, i + t, width, factors == nullptr ? nullptr : factors + t * width,
            weights + t * width, gradients + t * width);
    }
    if (piece.want_queries) {
      Words::product(n, static_cast<int>(padded), width, {gradients, width, 1}, scratch + at.key_rows, stride,
                     row_of(at.dq, head, i), stride, false);
    }
    if (piece.want_keys) {
      add_to_keys(head, i, n, width, weights, at.paired_weights, at.dout, at.dv);
      add_to_keys(head, i, n, width, gradients, at.paired_gradients, at.q, at.dk);
    }
  }

  // One of dV and dK: the chain over the tile's queries of weights (or dS) and dout (or q).
  void add_to_keys(int head, std::int64_t i, int n, int width, const float* weights, std::size_t paired,
                   std::size_t rows_part, std::size_t sums) {
    const float* terms = weights;
    if constexpr (Words::kPaired) {
      for (int t = 0; t < n; t += 2) {
        const auto* low = reinterpret_cast<const T*>(weights + t * width);
        Family::interleave(low, low + 2 * width, width, width, scratch + paired + t / 2 * width);
      }
      terms = scratch + paired;
    }
    Words::product(width, static_cast<int>(padded), n, {terms, 1, width}, across(rows_part, head, i), stride,
                   head_part(sums, head), stride, false);
  }

  // One packed row: scores to rounded (dropped) weights P, gradients of weights to rounded dS.
  void weigh(int head, std::int64_t block, std::int64_t i, int width, const float* factors, float* weights,
             float* gradients) {
    const std::int64_t query = i - lead;  // within the piece
    const Visible visible{geometry.first_key(piece.first + query) - block, piece.first + query - block + 1};
    if (query < 0 || query >= piece.count || visible.end <= 0 || visible.begin >= width) {
      fill_zero<F>(weights, static_cast<std::size_t>(width));
      fill_zero<F>(gradients, static_cast<std::size_t>(width));
      return;
    }
    const F lse = F::broadcast(piece.log_sum_exp[head * piece.statistics_head + query]);
    const F delta = F::broadcast(piece.row_dots[head * piece.statistics_head + query]);
    if (visible.begin > 0 || visible.end < width) {
      differentiate<true>(lse, delta, width, visible, factors, weights, gradients);
    } else {
      differentiate<false>(lse, delta, width, visible, factors, weights, gradients);
    }
  }

  template <bool kMasked>
  void differentiate(F lse, F delta, int width, Visible visible, const float* factors, float* weights,
                     float* gradients) {
    const F scale = F::broadcast(geometry.scale);
#pragma GCC unroll 4
    for (int j = 0; j < width; j += 16) {
      F weight = exp_softmax_lanes(F::load(weights + j) * scale - lse);
      if constexpr (kMasked) weight = only_visible(visible, j, weight, F::zero());
      F kept = weight;
      F gradient = F::load(gradients + j);
      if (factors != nullptr) {
        const F factor = F::load(factors + j);
        kept = weight * factor;
        gradient = select(less(F::zero(), factor), gradient * factor, F::zero());
      }
      gradient = (weight * (gradient - delta)) * scale;
      if constexpr (kMasked) gradient = only_visible(visible, j, gradient, F::zero());
      Words::store_rounded(kept, weights, j);
      Words::store_rounded(gradient, gradients, j);
    }
  }

  // Sum over the query heads into head 0's part. Leaves: the largest power of two that divides the group; a
  // leaf adds its heads in ascending order, leaves are joined ((0+1)+(2+3))+...
  void join_heads(std::size_t part) {
    const int leaves = geometry.group & -geometry.group;
    const int heads = geometry.group / leaves;
    for (int leaf = 0; leaf < leaves; ++leaf) {
      for (int h = 1; h < heads; ++h) add_head(part, leaf * heads, leaf * heads + h);
    }
    for (int distance = 1; distance < leaves; distance *= 2) {
      for (int leaf = 0; leaf < leaves; leaf += 2 * distance) {
        add_head(part, leaf * heads, (leaf + distance) * heads);
      }
    }
  }
  void add_head(std::size_t part, int to, int from) {
    float* sum = head_part(part, to);
    const float* other = head_part(part, from);
    for (std::size_t d = 0; d < block_floats; d += 16) (F::load(sum + d) + F::load(other + d)).store(sum + d);
  }

  void store_keys(const float* from, std::int64_t block, std::int64_t count, const Rows& to) {
    if (piece.wide_keys) {
      store_rows(from, count, static_cast<float*>(to.base) + block * to.row, to.row);
    } else {
      store_rows(from, count, static_cast<T*>(to.base) + block * to.row, to.row);
    }
  }
  template <class To>
  void store_rows(const float* from, std::int64_t count, To* to, std::int64_t to_row) {
    for (std::int64_t i = 0; i < count; ++i) {
      for (int d = 0; d < geometry.head_size; d += 16) {
        const F result = F::load(from + static_cast<std::size_t>(i) * padded + d) + F::zero();  // -0 + 0 = +0
        const int left = geometry.head_size - d;
        if (left >= 16) {
          result.store(to + i * to_row + d);
        } else {
          result.store_first(to + i * to_row + d, left);
        }
      }
    }
  }
};

// Sixteen lanes over D, chunks of 16 continued by fma, then sum_of_lanes.
template <class F, class T>
void row_dots(const RowDotsPiece& piece) {
  for (std::int64_t i = 0; i < piece.count; ++i) {
    const T* out = static_cast<const T*>(piece.out.base) + i * piece.out.row;
    const T* dout = static_cast<const T*>(piece.dout.base) + i * piece.dout.row;
    F sum = F::zero();
    int d = 0;
    for (; d + 16 <= piece.head_size; d += 16) sum = fma(F::load(dout + d), F::load(out + d), sum);
    const int left = piece.head_size - d;
    if (left > 0) sum = fma(F::load_first(dout + d, left), F::load_first(out + d, left), sum);
    piece.row_dots[i] = sum_of_lanes(sum);
  }
}

}  // namespace megalith::cpu
