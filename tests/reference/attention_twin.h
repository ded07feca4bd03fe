// Attention one number at a time, in the order src/device/attention.h promises: what every kernel must equal
// bit for bit. `Flaw` plants an order bug, so that tests can show that they would see it.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/bf16.h"
#include "core/elementary.h"

namespace megalith::reference {

enum class Flaw {
  none,
  blocks_from_the_sequence_start,  // A1
  blocks_from_the_window_start,    // A1
  key_blocks_descending,           // A2
  weights_not_rounded,
  low_element_first,         // P1
  splits_joined_descending,  // A4
  block_sums_added,          // P2, A7: dQ adds what a block gives instead of continuing its chain
  query_pairs_by_document,   // dK, dV pair queries from the document's start
};

// One head of one sequence; rows are [position][D]. Operands are already rounded to the dtype.
struct AttentionTwin {
  bool bf16 = true;
  int length = 0, size = 0, block = 64, split = 1024;
  int window = 0;  // keys a query sees; 0: all
  float scale = 1;
  std::vector<float> q, k, v, dout;
  std::vector<std::int32_t> document_start;
  std::function<float(int query, int key)> factor;  // dropout; empty: none
  Flaw flaw = Flaw::none;

  std::vector<float> out, log_sum_exp, dq, dk, dv;

  [[nodiscard]] float rounded(float x) const { return bf16 ? to_float(to_bf16(x)) : x; }

  // Order of the summed dimension: element of step s, counted so that pairs start at even indices.
  [[nodiscard]] int element(int s) const { return bf16 && flaw != Flaw::low_element_first ? s ^ 1 : s; }

  [[nodiscard]] float dot(const std::vector<float>& a, int i, const std::vector<float>& b, int j) const {
    float sum = 0;
    for (int s = 0; s < size; ++s) {
      const std::size_t d = static_cast<std::size_t>(element(s));
      sum =
          std::fma(a[static_cast<std::size_t>(i * size) + d], b[static_cast<std::size_t>(j * size) + d], sum);
    }
    return sum;
  }

  // Sixteen lanes, columns 16 apart ascending, then halves joined.
  [[nodiscard]] static float lane_sum(const std::vector<float>& values) {
    float lanes[16] = {};
    for (std::size_t i = 0; i < values.size(); ++i) lanes[i % 16] += values[i];
    for (int width = 8; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    }
    return lanes[0];
  }

  struct State {
    float max = -INFINITY, sum = 0;
    std::vector<float> o;
  };

  // First key of the row's document, and where its key blocks are counted from.
  [[nodiscard]] int start_of(int i) const { return document_start[static_cast<std::size_t>(i)]; }
  [[nodiscard]] int first_seen(int i) const {
    return window == 0 ? start_of(i) : std::max(start_of(i), i - window + 1);
  }
  [[nodiscard]] int origin_of(int i) const {
    if (flaw == Flaw::blocks_from_the_window_start) return first_seen(i);
    return flaw == Flaw::blocks_from_the_sequence_start ? 0 : start_of(i);
  }

  void visit_block(int i, int first, State& state) const {
    std::vector<float> scores(static_cast<std::size_t>(block), -INFINITY);
    float max = state.max;
    for (int j = first; j < first + block; ++j) {
      if (j < first_seen(i) || j > i) continue;
      float& s = scores[static_cast<std::size_t>(j - first)];
      s = dot(q, i, k, j) * scale;
      max = std::max(max, s);
    }
    if (max == -INFINITY) return;  // wholly masked
    const float alpha = exp_exact(state.max - max);
    for (float& s : scores) s = s == -INFINITY ? 0.0f : exp_exact(s - max);
    state.sum = state.sum * alpha + lane_sum(scores);
    state.max = max;
    for (float& x : state.o) x *= alpha;
    for (int s = 0; s < block; ++s) {
      const int j = first + element(s);
      if (j < first_seen(i) || j > i) continue;
      float weight = scores[static_cast<std::size_t>(j - first)];
      if (factor) weight *= factor(i, j);
      if (flaw != Flaw::weights_not_rounded) weight = rounded(weight);
      for (int d = 0; d < size; ++d) {
        float& x = state.o[static_cast<std::size_t>(d)];
        x = std::fma(weight, v[static_cast<std::size_t>(j * size + d)], x);
      }
    }
  }

  static State join(const State& a, const State& b) {
    State r;
    r.max = std::max(a.max, b.max);
    const float a1 = exp_exact(a.max - r.max);
    const float a2 = exp_exact(b.max - r.max);
    r.sum = a.sum * a1 + b.sum * a2;
    for (std::size_t d = 0; d < a.o.size(); ++d) r.o.push_back(a.o[d] * a1 + b.o[d] * a2);
    return r;
  }

  void forward() {
    out.assign(q.size(), 0.0f);
    log_sum_exp.assign(static_cast<std::size_t>(length), 0.0f);
    for (int i = 0; i < length; ++i) {
      std::vector<State> splits;
      for (int from = origin_of(i); from <= i; from += split) {
        State state;
        state.o.assign(static_cast<std::size_t>(size), 0.0f);
        std::vector<int> blocks;
        for (int b = from; b < from + split && b <= i; b += block) blocks.push_back(b);
        if (flaw == Flaw::key_blocks_descending) std::reverse(blocks.begin(), blocks.end());
        for (const int b : blocks) visit_block(i, b, state);
        if (state.max > -INFINITY) splits.push_back(state);
      }
      if (flaw == Flaw::splits_joined_descending) std::reverse(splits.begin(), splits.end());
      State all = splits[0];
      for (std::size_t s = 1; s < splits.size(); ++s) all = join(all, splits[s]);
      for (int d = 0; d < size; ++d) {
        out[static_cast<std::size_t>(i * size + d)] =
            rounded(all.o[static_cast<std::size_t>(d)] / all.sum + 0.0f);
      }
      log_sum_exp[static_cast<std::size_t>(i)] = all.max + log_exact(all.sum);
    }
  }

  // After forward(). For a head without others in its group.
  void backward() {
    std::vector<float> weights(static_cast<std::size_t>(length) * length, 0.0f);
    std::vector<float> gradients = weights;
    for (int i = 0; i < length; ++i)
      fill_row(i, &weights[static_cast<std::size_t>(i * length)],
               &gradients[static_cast<std::size_t>(i * length)]);
    for (auto* g : {&dq, &dk, &dv}) g->assign(q.size(), 0.0f);
    for (int d = 0; d < size; ++d) {
      for (int i = 0; i < length; ++i)
        dq[static_cast<std::size_t>(i * size + d)] = query_chain(gradients, i, d);
      for (int j = 0; j < length; ++j) {
        dk[static_cast<std::size_t>(j * size + d)] = key_chain(gradients, q, j, d);
        dv[static_cast<std::size_t>(j * size + d)] = key_chain(weights, dout, j, d);
      }
    }
  }

  void fill_row(int i, float* weights, float* gradients) const {
    float lanes[16] = {};
    for (int d = 0; d < size; ++d) {
      const std::size_t at = static_cast<std::size_t>(i * size + d);
      lanes[d % 16] = std::fma(dout[at], out[at], lanes[d % 16]);
    }
    const float delta = lane_sum(std::vector<float>(lanes, lanes + 16));
    for (int j = first_seen(i); j <= i; ++j) {
      const float weight = exp_exact(dot(q, i, k, j) * scale - log_sum_exp[static_cast<std::size_t>(i)]);
      const float kept = factor ? factor(i, j) : 1.0f;
      const float gradient = kept == 0 ? 0.0f : dot(dout, i, v, j) * kept;
      weights[j] = rounded(weight * kept);
      gradients[j] = rounded((weight * (gradient - delta)) * scale);
    }
  }

  [[nodiscard]] float query_chain(const std::vector<float>& gradients, int i, int d) const {
    float sum = 0;
    for (int first = start_of(i); first <= i; first += block) {
      float chain = flaw == Flaw::block_sums_added ? 0.0f : sum;
      for (int s = 0; s < block; ++s) {
        const int j = first + element(s);
        if (j > i) continue;
        chain = std::fma(gradients[static_cast<std::size_t>(i * length + j)],
                         k[static_cast<std::size_t>(j * size + d)], chain);
      }
      sum = flaw == Flaw::block_sums_added ? sum + chain : chain;
    }
    return rounded(sum + 0.0f);
  }

  [[nodiscard]] float key_chain(const std::vector<float>& left, const std::vector<float>& right, int j,
                                int d) const {
    const int shift = flaw == Flaw::query_pairs_by_document ? start_of(j) % 2 : 0;
    float sum = 0;
    for (int s = 0; s < length + 2; ++s) {
      const int i = element(s) - shift;
      if (i < j || i >= length || start_of(i) != start_of(j)) continue;
      sum = std::fma(left[static_cast<std::size_t>(i * length + j)],
                     right[static_cast<std::size_t>(i * size + d)], sum);
    }
    return rounded(sum + 0.0f);
  }
};

}  // namespace megalith::reference
