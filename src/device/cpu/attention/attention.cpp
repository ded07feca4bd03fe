// Attention on the CPU: checks, cutting into pieces, memory and threads. What a piece computes is in the
// kernels.
#include <algorithm>
#include <cstring>
#include <vector>

#include "device/cpu/attention/attention_kernels.h"
#include "device/cpu/attention/attention_pieces.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/scratch.h"

namespace megalith::cpu {
namespace {

constexpr std::int64_t kHeadsTogether = 16;  // of a cache, one after another

AttentionFamily family_of(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return attention_portable();
#if defined(__x86_64__)
    case Isa::avx2:
      return attention_avx2();
    case Isa::avx512:
      return attention_avx512();
    case Isa::avx512_bf16:
      return attention_avx512_bf16();
#endif
    default:
      break;
  }
  MEGALITH_CHECK(false, "no attention kernels for {}", name_of(isa));
}

AttentionGeometry geometry_of(const AttentionShape& s) {
  return {.head_size = s.head_size,
          .key_block = s.key_block,
          .attention_split = s.attention_split,
          .group = s.heads / s.kv_heads,
          .scale = s.scale,
          .window = s.window == 0 ? AttentionGeometry::kNoWindow : s.window};
}

void check_shape(const AttentionShape& s) {
  MEGALITH_CHECK(s.heads > 0 && s.kv_heads > 0 && s.heads % s.kv_heads == 0, "{} heads, {} key/value heads",
                 s.heads, s.kv_heads);
  MEGALITH_CHECK(s.head_size >= 2 && s.head_size <= 256 && s.head_size % 2 == 0, "head size {}", s.head_size);
  MEGALITH_CHECK(s.key_block >= 16 && s.key_block <= 1024 && s.key_block % 16 == 0, "key block {}",
                 s.key_block);
  MEGALITH_CHECK(s.attention_split >= s.key_block && s.attention_split % s.key_block == 0,
                 "attention split {}", s.attention_split);
  MEGALITH_CHECK(s.window >= 0, "a window of {} keys", s.window);
}

void check_tensor(const char* name, const Tensor& t, DType dtype, std::int64_t rows, std::int64_t columns) {
  MEGALITH_CHECK(t.dtype == dtype && t.rows() == rows && t.columns() == columns && t.row_stride >= columns,
                 "{} is {}, wanted {}[{}x{}]", name, describe(t), name_of(dtype), rows, columns);
}

// Element (row, column) of a bf16 or f32 tensor.
void* at(const Tensor& t, std::int64_t row, std::int64_t column) {
  return static_cast<std::byte*>(t.data) +
         static_cast<std::size_t>(row * t.row_stride + column) * size_of(t.dtype);
}
ConstRows const_rows(const Tensor& t, std::int64_t row, std::int64_t column) {
  return {at(t, row, column), t.row_stride};
}
Rows rows_of(const Tensor& t, std::int64_t row, std::int64_t column) {
  return {at(t, row, column), t.row_stride};
}

// A piece's dropout; lives as long as the piece.
class PieceDropout {
 public:
  PieceDropout(const Dropout& dropout, std::int64_t sequence, std::int64_t first_head)
      : active_(dropout.active()) {
    if (!active_) return;
    const std::int64_t sample = dropout.samples[sequence];
    const PhiloxKey key = dropout_key(dropout, sample);
    stream_ = {.key = {key[0], key[1]},
               .sample = static_cast<std::uint32_t>(sample),
               .site = dropout.site + static_cast<std::uint32_t>(first_head),
               .threshold = dropout.threshold,
               .scale = dropout.scale()};
  }
  [[nodiscard]] const DropoutStream* get() const { return active_ ? &stream_ : nullptr; }

 private:
  bool active_;
  DropoutStream stream_{};
};

class CpuAttention final : public AttentionOps {
 public:
  CpuAttention(ThreadPool& pool, Isa isa)
      : pool_(pool), family_(family_of(isa)), scratch_(static_cast<std::size_t>(pool.num_threads())) {}

  void forward(const AttentionForward& args) override;
  void backward(const AttentionBackward& args) override;
  void cached(const CachedAttention& args) override;
  void append(const CacheAppend& args) override;

 private:
  [[nodiscard]] const AttentionKernels& kernels(DType dtype) const {
    MEGALITH_CHECK(dtype == DType::bf16 || dtype == DType::f32, "attention of {}", name_of(dtype));
    return dtype == DType::bf16 ? family_.bf16 : family_.f32;
  }
  // Every thread's scratch memory before the loop, whose body must not throw.
  void reserve(std::size_t floats) {
    for (Scratch& s : scratch_) s.get<float>(floats);
  }
  float* scratch(int thread) { return scratch_[static_cast<std::size_t>(thread)].get<float>(0); }
  void dot_rows(const AttentionBackward& args);
  void run_backward(const AttentionBackward& args, bool want_keys, bool want_queries);

  ThreadPool& pool_;
  AttentionFamily family_;
  std::vector<Scratch> scratch_;
  std::vector<Document> documents_;
  std::vector<Piece> pieces_;
};

void CpuAttention::forward(const AttentionForward& args) {
  const AttentionShape& s = args.shape;
  check_shape(s);
  const std::int64_t tokens = s.sequences * s.sequence;
  const std::int64_t d = s.head_size;
  check_tensor("q", args.q, args.q.dtype, tokens, s.heads * d);
  check_tensor("k", args.k, args.q.dtype, tokens, s.kv_heads * d);
  check_tensor("v", args.v, args.q.dtype, tokens, s.kv_heads * d);
  check_tensor("out", args.out, args.q.dtype, tokens, s.heads * d);
  check_tensor("log_sum_exp", args.log_sum_exp, DType::f32, s.heads, tokens);
  const AttentionKernels& kernel = kernels(args.q.dtype);
  const AttentionGeometry geometry = geometry_of(s);
  list_documents(s, args.document_start, documents_);
  cut_queries(documents_, s.kv_heads, pool_.num_threads(), pieces_);
  reserve(forward_layout(geometry, longest(pieces_)).floats);
  pool_.for_each(static_cast<std::int64_t>(pieces_.size()) * s.kv_heads, [&](std::int64_t task, int thread) {
    const Piece& piece = pieces_[static_cast<std::size_t>(task / s.kv_heads)];
    const std::int64_t kv_head = task % s.kv_heads;
    const std::int64_t head = kv_head * geometry.group;
    const std::int64_t key_row = piece.sequence * s.sequence + piece.document;
    const std::int64_t row = key_row + piece.first;
    const PieceDropout dropout(args.dropout, piece.sequence, head);
    kernel.forward({.geometry = geometry,
                    .q = const_rows(args.q, row, head * d),
                    .k = const_rows(args.k, key_row, kv_head * d),
                    .v = const_rows(args.v, key_row, kv_head * d),
                    .out = rows_of(args.out, row, head * d),
                    .log_sum_exp = args.log_sum_exp.row<float>(head) + row,
                    .log_sum_exp_head = args.log_sum_exp.row_stride,
                    .first = piece.first,
                    .count = piece.count,
                    .document = piece.document,
                    .dropout = dropout.get(),
                    .scratch = scratch(thread),
                    .next_k = {},
                    .next_v = {},
                    .next_keys = 0});
  });
}

void CpuAttention::backward(const AttentionBackward& args) {
  const AttentionShape& s = args.shape;
  check_shape(s);
  const std::int64_t tokens = s.sequences * s.sequence;
  const std::int64_t d = s.head_size;
  const DType dtype = args.q.dtype;
  for (const Tensor* t : {&args.q, &args.dq, &args.out, &args.dout}) {
    check_tensor("q, dq, out or dout", *t, dtype, tokens, s.heads * d);
  }
  for (const Tensor* t : {&args.k, &args.v}) check_tensor("k or v", *t, dtype, tokens, s.kv_heads * d);
  const DType key_dtype = args.dk.dtype == DType::f32 ? DType::f32 : dtype;
  for (const Tensor* t : {&args.dk, &args.dv}) {
    check_tensor("dk or dv", *t, key_dtype, tokens, s.kv_heads * d);
  }
  for (const Tensor* t : {&args.log_sum_exp, &args.row_dots}) {
    check_tensor("log_sum_exp or row_dots", *t, DType::f32, s.heads, tokens);
  }
  MEGALITH_CHECK(args.row_dots.row_stride == args.log_sum_exp.row_stride,
                 "row_dots is spaced unlike log_sum_exp");
  dot_rows(args);
  list_documents(s, args.document_start, documents_);
  // One pass over (key block, query tile) serves all three gradients. Where whole documents are too few
  // tasks, keys and queries are cut in passes of their own, which recompute the weights: seven products for
  // five, the same bits.
  const std::int64_t tasks = static_cast<std::int64_t>(documents_.size()) * s.kv_heads;
  if (pool_.num_threads() == 1 || tasks >= 3 * pool_.num_threads()) {
    whole_documents(documents_, s.key_block, pieces_);
    run_backward(args, true, true);
  } else {
    cut_keys(documents_, geometry_of(s), s.kv_heads, pool_.num_threads(), pieces_);
    run_backward(args, true, false);
    cut_queries(documents_, s.kv_heads, pool_.num_threads(), pieces_);
    for (Piece& piece : pieces_) {
      piece.first_block = geometry_of(s).first_key(piece.first) / s.key_block;
      piece.last_block = (piece.first + piece.count + s.key_block - 1) / s.key_block;
    }
    run_backward(args, false, true);
  }
}

void CpuAttention::dot_rows(const AttentionBackward& args) {
  const AttentionShape& s = args.shape;
  const AttentionKernels& kernel = kernels(args.q.dtype);
  constexpr std::int64_t kChunk = 256;  // rows
  pool_.for_range(s.sequences * s.sequence, kChunk, [&](std::int64_t begin, std::int64_t end, int) {
    for (int head = 0; head < s.heads; ++head) {
      kernel.row_dots({.head_size = s.head_size,
                       .out = const_rows(args.out, begin, std::int64_t{head} * s.head_size),
                       .dout = const_rows(args.dout, begin, std::int64_t{head} * s.head_size),
                       .row_dots = args.row_dots.row<float>(head) + begin,
                       .count = end - begin});
    }
  });
}

void CpuAttention::run_backward(const AttentionBackward& args, bool want_keys, bool want_queries) {
  const AttentionShape& s = args.shape;
  const std::int64_t d = s.head_size;
  const AttentionKernels& kernel = kernels(args.q.dtype);
  const AttentionGeometry geometry = geometry_of(s);
  reserve(backward_layout(geometry, longest(pieces_)).floats);
  pool_.for_each(static_cast<std::int64_t>(pieces_.size()) * s.kv_heads, [&](std::int64_t task, int thread) {
    const Piece& piece = pieces_[static_cast<std::size_t>(task / s.kv_heads)];
    const std::int64_t kv_head = task % s.kv_heads;
    const std::int64_t head = kv_head * geometry.group;
    const std::int64_t key_row = piece.sequence * s.sequence + piece.document;
    const std::int64_t row = key_row + piece.first;
    const PieceDropout dropout(args.dropout, piece.sequence, head);
    kernel.backward({.geometry = geometry,
                     .q = const_rows(args.q, row, head * d),
                     .dout = const_rows(args.dout, row, head * d),
                     .k = const_rows(args.k, key_row, kv_head * d),
                     .v = const_rows(args.v, key_row, kv_head * d),
                     .dq = rows_of(args.dq, row, head * d),
                     .dk = rows_of(args.dk, key_row, kv_head * d),
                     .dv = rows_of(args.dv, key_row, kv_head * d),
                     .wide_keys = args.dk.dtype == DType::f32,
                     .log_sum_exp = args.log_sum_exp.row<float>(head) + row,
                     .row_dots = args.row_dots.row<float>(head) + row,
                     .statistics_head = args.log_sum_exp.row_stride,
                     .first = piece.first,
                     .count = piece.count,
                     .first_block = piece.first_block,
                     .last_block = piece.last_block,
                     .length = piece.length,
                     .document = piece.document,
                     .want_keys = want_keys,
                     .want_queries = want_queries,
                     .dropout = dropout.get(),
                     .scratch = scratch(thread)});
  });
}

void CpuAttention::append(const CacheAppend& args) {
  const std::int64_t heads = args.k_cache.shape[1];
  const std::int64_t capacity = args.k_cache.shape[2];
  const std::int64_t size = args.k_cache.columns();
  check_tensor("k", args.k, args.k_cache.dtype, args.rows, heads * size);
  check_tensor("v", args.v, args.k_cache.dtype, args.rows, heads * size);
  const std::size_t bytes = static_cast<std::size_t>(size) * size_of(args.k_cache.dtype);
  // Lines of as many caches as there are rows: waiting for them is the work.
  constexpr std::int64_t kRowsTogether = 8;
  pool_.for_range(args.rows, kRowsTogether, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      MEGALITH_CHECK(args.position[r] >= 0 && args.position[r] < capacity, "position {}", args.position[r]);
      for (std::int64_t h = 0; h < heads; ++h) {
        const std::int64_t line = (args.slot[r] * heads + h) * capacity + args.position[r];
        std::memcpy(at(args.k_cache, line, 0), at(args.k, r, h * size), bytes);
        std::memcpy(at(args.v_cache, line, 0), at(args.v, r, h * size), bytes);
      }
    }
  });
}

void CpuAttention::cached(const CachedAttention& args) {
  const AttentionShape& s = args.shape;
  check_shape(s);
  const std::int64_t d = s.head_size;
  check_tensor("q", args.q, args.q.dtype, args.rows, s.heads * d);
  check_tensor("out", args.out, args.q.dtype, args.rows, s.heads * d);
  const std::int64_t slots = args.k_cache.shape[0];
  const std::int64_t capacity = args.k_cache.shape[2];
  check_tensor("k_cache", args.k_cache, args.q.dtype, slots * s.kv_heads * capacity, d);
  check_tensor("v_cache", args.v_cache, args.q.dtype, slots * s.kv_heads * capacity, d);
  const AttentionKernels& kernel = kernels(args.q.dtype);
  const AttentionGeometry geometry = geometry_of(s);
  list_runs(args, slots, capacity, pieces_);
  reserve(forward_layout(geometry, longest(pieces_)).floats);
  // A thread takes several heads one after another, so that it can ask for the next one's keys in time.
  const std::int64_t tasks = static_cast<std::int64_t>(pieces_.size()) * s.kv_heads;
  const std::int64_t together =
      std::clamp<std::int64_t>(tasks / (2 * pool_.num_threads()), 1, kHeadsTogether);
  const auto first_row = [&](std::int64_t task) {
    const Piece& run = pieces_[static_cast<std::size_t>(task / s.kv_heads)];
    return (run.sequence * s.kv_heads + task % s.kv_heads) * capacity;
  };
  pool_.for_range(tasks, together, [&](std::int64_t begin, std::int64_t end, int thread) {
    for (std::int64_t task = begin; task < end; ++task) {
      const Piece& run = pieces_[static_cast<std::size_t>(task / s.kv_heads)];
      const std::int64_t head = task % s.kv_heads * geometry.group;
      const std::int64_t next = std::min(task + 1, tasks - 1);
      const Piece& next_run = pieces_[static_cast<std::size_t>(next / s.kv_heads)];
      const std::int64_t next_key = geometry.first_key(next_run.first);
      kernel.forward({.geometry = geometry,
                      .q = const_rows(args.q, run.row, head * d),
                      .k = const_rows(args.k_cache, first_row(task), 0),
                      .v = const_rows(args.v_cache, first_row(task), 0),
                      .out = rows_of(args.out, run.row, head * d),
                      .log_sum_exp = nullptr,
                      .log_sum_exp_head = 0,
                      .first = run.first,
                      .count = run.count,
                      .document = 0,
                      .dropout = nullptr,
                      .scratch = scratch(thread),
                      .next_k = const_rows(args.k_cache, first_row(next) + next_key, 0),
                      .next_v = const_rows(args.v_cache, first_row(next) + next_key, 0),
                      .next_keys = next == task ? 0 : next_run.first + next_run.count - next_key});
    }
  });
}

}  // namespace

std::unique_ptr<AttentionOps> make_attention(ThreadPool& pool, Isa isa) {
  return std::make_unique<CpuAttention>(pool, isa);
}

}  // namespace megalith::cpu
