// A ready-made attention problem for tests: seeded operands in one dtype, results, and the calls.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/floating_point_mode.h"
#include "core/thread_pool.h"
#include "device/cpu/cpu_device.h"
#include "reference/attention_reference.h"

namespace megalith::test {

// A tensor with its memory, bf16 or f32.
class Buffer {
 public:
  Buffer() = default;
  Buffer(DType dtype, std::int64_t rows, std::int64_t columns)
      : bytes_(static_cast<std::size_t>(rows * columns) * size_of(dtype)) {
    tensor_ = Tensor(bytes_.data(), dtype, {rows, columns});
  }
  Buffer(const Buffer& other) { *this = other; }
  Buffer& operator=(const Buffer& other) {
    bytes_ = other.bytes_;
    tensor_ = other.tensor_;
    tensor_.data = bytes_.data();
    return *this;
  }
  [[nodiscard]] const Tensor& tensor() const { return tensor_; }
  [[nodiscard]] std::int64_t rows() const { return tensor_.rows(); }
  [[nodiscard]] std::int64_t columns() const { return tensor_.columns(); }
  [[nodiscard]] float get(std::int64_t row, std::int64_t column) const {
    const std::int64_t i = row * columns() + column;
    return tensor_.dtype == DType::bf16 ? to_float(tensor_.as<bf16>()[i]) : tensor_.as<float>()[i];
  }
  void set(std::int64_t row, std::int64_t column, float value) {
    const std::int64_t i = row * columns() + column;
    if (tensor_.dtype == DType::bf16) {
      tensor_.as<bf16>()[i] = to_bf16(value);
    } else {
      tensor_.as<float>()[i] = value;
    }
  }
  void randomize(std::mt19937& random, float deviation) {
    std::normal_distribution<float> normal(0.0f, deviation);
    for (std::int64_t r = 0; r < rows(); ++r) {
      for (std::int64_t c = 0; c < columns(); ++c) set(r, c, normal(random));
    }
  }
  void fill(float value) {
    for (std::int64_t r = 0; r < rows(); ++r) {
      for (std::int64_t c = 0; c < columns(); ++c) set(r, c, value);
    }
  }
  [[nodiscard]] std::vector<double> doubles() const {
    std::vector<double> result;
    for (std::int64_t r = 0; r < rows(); ++r) {
      for (std::int64_t c = 0; c < columns(); ++c) result.push_back(get(r, c));
    }
    return result;
  }
  // Rows [first, first + count) as bytes.
  [[nodiscard]] std::vector<unsigned char> bits(std::int64_t first, std::int64_t count) const {
    const std::size_t row = static_cast<std::size_t>(columns()) * size_of(tensor_.dtype);
    const auto begin = bytes_.begin() + static_cast<std::ptrdiff_t>(row * static_cast<std::size_t>(first));
    return {begin, begin + static_cast<std::ptrdiff_t>(row * static_cast<std::size_t>(count))};
  }
  [[nodiscard]] std::vector<unsigned char> bits() const { return bytes_; }

 private:
  std::vector<unsigned char> bytes_;
  Tensor tensor_;
};

struct AttentionCase {
  AttentionShape shape;
  DType dtype = DType::f32;
  Buffer q, k, v, dout;
  std::vector<std::int32_t> document_start;
  Dropout dropout;
  std::vector<std::int64_t> samples;
};

struct AttentionOutcome {
  Buffer out, log_sum_exp, dq, dk, dv;
};

// `documents`: positions where documents start, the same in each sequence; 0 is always one.
inline AttentionCase make_case(const AttentionShape& shape, DType dtype,
                               const std::vector<int>& documents = {}, unsigned seed = 1) {
  AttentionCase c;
  c.shape = shape;
  c.dtype = dtype;
  c.shape.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_size));
  const std::int64_t tokens = shape.sequences * shape.sequence;
  std::mt19937 random(seed);
  c.q = Buffer(dtype, tokens, std::int64_t{shape.heads} * shape.head_size);
  c.k = Buffer(dtype, tokens, std::int64_t{shape.kv_heads} * shape.head_size);
  c.v = c.k;
  c.dout = c.q;
  c.q.randomize(random, 1.5f);
  c.k.randomize(random, 1.5f);
  c.v.randomize(random, 1.0f);
  c.dout.randomize(random, 1.0f);
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::int32_t start = 0;
    for (const int d : documents) {
      if (d <= t % shape.sequence) start = std::max(start, d);
    }
    c.document_start.push_back(start);
  }
  for (std::int64_t b = 0; b < shape.sequences; ++b) c.samples.push_back(1000 + 7 * b);
  return c;
}

inline void use_dropout(AttentionCase& c, double rate) {
  c.dropout = {.threshold = dropout_threshold(rate),
               .seed = 99,
               .site = 5,
               .samples = c.samples.data(),
               .sequence = c.shape.sequence};
}

inline AttentionOutcome run_forward(const AttentionCase& c, AttentionOps& ops) {
  AttentionOutcome r;
  r.out = Buffer(c.dtype, c.q.rows(), c.q.columns());
  r.out.fill(NAN);
  r.log_sum_exp = Buffer(DType::f32, c.shape.heads, c.q.rows());
  ops.forward({.shape = c.shape,
               .q = c.q.tensor(),
               .k = c.k.tensor(),
               .v = c.v.tensor(),
               .document_start = c.document_start.data(),
               .out = r.out.tensor(),
               .log_sum_exp = r.log_sum_exp.tensor(),
               .dropout = c.dropout});
  return r;
}

inline AttentionOutcome run_both(const AttentionCase& c, AttentionOps& ops) {
  AttentionOutcome r = run_forward(c, ops);
  r.dq = Buffer(c.dtype, c.q.rows(), c.q.columns());
  r.dk = Buffer(c.dtype, c.k.rows(), c.k.columns());
  r.dv = r.dk;
  for (Buffer* gradient : {&r.dq, &r.dk, &r.dv}) gradient->fill(NAN);
  Buffer row_dots(DType::f32, c.shape.heads, c.q.rows());
  ops.backward({.shape = c.shape,
                .q = c.q.tensor(),
                .k = c.k.tensor(),
                .v = c.v.tensor(),
                .out = r.out.tensor(),
                .dout = c.dout.tensor(),
                .log_sum_exp = r.log_sum_exp.tensor(),
                .document_start = c.document_start.data(),
                .dq = r.dq.tensor(),
                .dk = r.dk.tensor(),
                .dv = r.dv.tensor(),
                .row_dots = row_dots.tensor(),
                .dropout = c.dropout});
  return r;
}

inline AttentionOutcome run_both(const AttentionCase& c, cpu::Isa isa, int num_threads) {
  ThreadPool pool(num_threads);
  return run_both(c, *cpu::make_attention(pool, isa));
}
inline AttentionOutcome run_forward(const AttentionCase& c, cpu::Isa isa, int num_threads) {
  ThreadPool pool(num_threads);
  return run_forward(c, *cpu::make_attention(pool, isa));
}

inline reference::Attention reference_of(const AttentionCase& c) {
  reference::Attention a;
  a.sequences = static_cast<int>(c.shape.sequences);
  a.sequence = static_cast<int>(c.shape.sequence);
  a.heads = c.shape.heads;
  a.kv_heads = c.shape.kv_heads;
  a.head_size = c.shape.head_size;
  a.window = static_cast<int>(c.shape.window);
  a.scale = c.shape.scale;
  a.q = c.q.doubles();
  a.k = c.k.doubles();
  a.v = c.v.doubles();
  a.document_start = c.document_start;
  if (c.dropout.active()) {
    const Dropout dropout = c.dropout;
    a.factor = [dropout](int b, int head, int query, int key) {
      Dropout of_head = dropout;
      of_head.site += static_cast<std::uint32_t>(head);
      const PhiloxCounter draws =
          dropout_block(of_head, dropout.samples[b], static_cast<std::uint32_t>(query),
                        static_cast<std::uint32_t>(key) / 8);
      return dropout_bits(draws, static_cast<std::uint32_t>(key)) < dropout.threshold ? 0.0 : of_head.scale();
    };
  }
  return a;
}

}  // namespace megalith::test
