// Operations on shards on the CPU: shapes, threads and moves of rows; the sums are in shards_kernels.h.

#include <bit>
#include <cstring>

#include "core/fixed_point.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/shards/shards_kernels.h"

namespace megalith::cpu {
namespace {

constexpr std::int64_t kRowsPerTask = 16;

ShardKernels kernels_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512 || isa == Isa::avx512_bf16) return shard_kernels_avx512();
  if (isa == Isa::avx2) return shard_kernels_avx2();
#else
  static_cast<void>(isa);
#endif
  return shard_kernels_portable();
}

std::byte* row_bytes(const Tensor& tensor, std::int64_t row) {
  return static_cast<std::byte*>(tensor.data) +
         static_cast<std::size_t>(row * tensor.row_stride) * size_of(tensor.dtype);
}
std::size_t width_bytes(const Tensor& tensor) {
  return static_cast<std::size_t>(tensor.columns()) * size_of(tensor.dtype);
}

// [R, M, H] and [M, H].
void check_parts(const char* operation, const Tensor& parts, const Tensor& y) {
  MEGALITH_CHECK(
      parts.shape[0] == 1 && parts.shape[2] == y.rows() && parts.columns() == y.columns() && parts.dense(),
      "{}: {} and {}", operation, describe(parts), describe(y));
}
void check_dtypes(const char* operation, const Tensor& from, const Tensor& to) {
  MEGALITH_CHECK(from.dtype == to.dtype, "{}: {} and {}", operation, describe(from), describe(to));
}

class CpuShards final : public ShardOps {
 public:
  CpuShards(ThreadPool& pool, Isa isa) : pool_(pool), kernels_(kernels_of(isa)) {}

  void sum(const TreeSum& args) override {
    check_parts("tree sum", args.parts, args.y);
    const std::int64_t num_parts = args.parts.shape[1];
    MEGALITH_CHECK(num_parts <= 64 && std::has_single_bit(static_cast<std::uint64_t>(num_parts)), "{} parts",
                   num_parts);
    const std::int64_t columns = args.y.columns();
    const std::int64_t distance = args.y.rows() * columns;
    for_rows(args.y.rows(), [&](std::int64_t r) {
      const float* parts = args.parts.row<float>(r);
      if (args.y.dtype == DType::bf16) {
        kernels_.tree_sum_bf16(parts, distance, static_cast<int>(num_parts), columns, args.y.row<bf16>(r));
      } else {
        kernels_.tree_sum_f32(parts, distance, static_cast<int>(num_parts), columns, args.y.row<float>(r));
      }
    });
  }

  void rank_sum(const RankSum& args) override {
    const std::int64_t count = args.y.count();
    MEGALITH_CHECK(args.parts.dense() && args.y.dense() && args.parts.columns() == count,
                   "rank sum: {} and {}", describe(args.parts), describe(args.y));
    constexpr std::int64_t kChunk = 1 << 14;
    pool_.for_range(count, kChunk, [&](std::int64_t begin, std::int64_t end, int) {
      const std::uint32_t greatest =
          kernels_.rank_sum(args.parts.as<float>() + begin, count, static_cast<int>(args.parts.rows()),
                            end - begin, args.y.as<float>() + begin);
      if (greatest >= float_sum_limit_bits(args.shift)) args.verdict->declare_bad();
    });
  }

  void lookup(const RowLookup& args) override {
    check_dtypes("row lookup", args.table, args.y);
    MEGALITH_CHECK(args.table.columns() == args.y.columns(), "row lookup: {} in {}", describe(args.y),
                   describe(args.table));
    const std::size_t bytes = width_bytes(args.y);
    for_rows(args.y.rows(), [&](std::int64_t t) {
      const std::int64_t row = args.ids[t] - args.first_row;
      if (row >= 0 && row < args.table.rows()) {
        std::memcpy(row_bytes(args.y, t), row_bytes(args.table, row), bytes);
      } else {
        std::memset(row_bytes(args.y, t), 0, bytes);
      }
    });
  }

  void select(const RowSelect& args) override {
    check_parts("row select", args.parts, args.y);
    check_dtypes("row select", args.parts, args.y);
    for_rows(args.y.rows(), [&](std::int64_t t) {
      const std::int64_t part = args.ids[t] / args.part_rows;
      std::memcpy(row_bytes(args.y, t), row_bytes(args.parts, part * args.y.rows() + t), width_bytes(args.y));
    });
  }

  void join(const ColumnPieces& args) override {
    for_pieces(args, [](std::byte* piece, std::byte* whole, std::size_t bytes) {
      std::memcpy(whole, piece, bytes);
    });
  }
  void split(const ColumnPieces& args) override {
    for_pieces(args, [](std::byte* piece, std::byte* whole, std::size_t bytes) {
      std::memcpy(piece, whole, bytes);
    });
  }

 private:
  template <class Body>
  void for_rows(std::int64_t rows, Body&& body) {
    pool_.for_range(rows, kRowsPerTask, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t r = begin; r < end; ++r) body(r);
    });
  }
  template <class Move>
  void for_pieces(const ColumnPieces& args, Move move) {
    const Tensor& pieces = args.pieces;
    const std::int64_t count = pieces.shape[1];
    check_dtypes("column pieces", pieces, args.whole);
    MEGALITH_CHECK(pieces.shape[0] == 1 && (pieces.dense() || count == 1) &&
                       pieces.shape[2] == args.whole.rows() &&
                       count * pieces.columns() == args.whole.columns(),
                   "pieces {} of {}", describe(pieces), describe(args.whole));
    const std::size_t bytes = width_bytes(pieces);
    for_rows(args.whole.rows(), [&](std::int64_t t) {
      for (std::int64_t p = 0; p < count; ++p) {
        move(row_bytes(pieces, p * args.whole.rows() + t),
             row_bytes(args.whole, t) + static_cast<std::size_t>(p) * bytes, bytes);
      }
    });
  }

  ThreadPool& pool_;
  ShardKernels kernels_;
};

}  // namespace

std::unique_ptr<ShardOps> make_shards(ThreadPool& pool, Isa isa) {
  return std::make_unique<CpuShards>(pool, isa);
}

}  // namespace megalith::cpu
