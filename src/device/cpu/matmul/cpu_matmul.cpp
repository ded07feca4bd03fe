#include "device/cpu/matmul/cpu_matmul.h"

#include <algorithm>
#include <bit>

#include "device/cpu/matmul/packed_strips.h"

namespace megalith::cpu {
namespace {

// Tiles whose unfinished sums a thread keeps while chunks of the summed dimension pass.
constexpr std::int64_t kTilesPerGroup = 256;
constexpr std::int64_t kStripsTogether = 4;

MatmulKernels kernels_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512_bf16) return matmul_kernels_avx512_bf16();
  if (isa == Isa::avx512) return matmul_kernels_avx512();
  if (isa == Isa::avx2) return matmul_kernels_avx2();
#else
  static_cast<void>(isa);
#endif
  return matmul_kernels_portable();
}

std::int64_t tiles_of(std::int64_t rows) {
  return (rows + kTileRows - 1) / kTileRows;
}

int levels_of(int leaves) {
  return std::bit_width(static_cast<unsigned>(leaves)) - 1;
}

// Words of one row in chain order, element by element: for parts that begin or end inside a pair. The last
// word's two terms stand in `to` one after another where a word is one term.
template <class T, class ElementAt>
void gather_words(const std::int64_t* sources, std::int64_t places, std::int64_t terms_in_word,
                  std::ptrdiff_t to_stride, float* to, ElementAt element_at) {
  const auto element = [&](std::int64_t place) {
    return sources[place] < 0 ? T{} : element_at(sources[place]);
  };
  for (std::int64_t place = 0; place < places; place += terms_in_word, to += to_stride) {
    if constexpr (std::is_same_v<T, bf16>) {
      if (terms_in_word == 2) {  // places stand high before low
        const std::uint32_t word = std::uint32_t{element(place).bits} << 16 | element(place + 1).bits;
        *to = std::bit_cast<float>(word);
        continue;
      }
    }
    *to = to_float(element(place));
  }
}

// One term of a word; of a pair the high or the low one.
template <class T>
T term_of(float word, bool pair, bool high) {
  const auto bits = std::bit_cast<std::uint32_t>(word);
  if constexpr (std::is_same_v<T, bf16>) {
    return {static_cast<std::uint16_t>(!pair || high ? bits >> 16 : bits & 0xffffU)};
  } else {
    return word;
  }
}

}  // namespace

CpuMatmul::CpuMatmul(ThreadPool& pool, Isa isa)
    : pool_(pool),
      kernels_(kernels_of(isa)),
      int8_(pool, int8_kernels_of(isa), kernels_),
      thread_scratch_(static_cast<std::size_t>(pool.num_threads())) {}

void CpuMatmul::forward(const ForwardProduct& args) {
  MEGALITH_CHECK(args.x.columns() == args.w.columns() && args.y.columns() == args.w.rows() &&
                     args.y.rows() == args.x.rows() && args.x.dtype == args.w.dtype,
                 "{} x {} -> {}", describe(args.x), describe(args.w), describe(args.y));
  if (args.packed != nullptr && args.packed_as == WeightFormat::q8_0) return int8_.forward(args);
  order_.set(args.order, args.x.columns(), args.x.dtype == DType::bf16);
  run({.a = args.x,
       .w = args.w,
       .transposed = true,
       .packed = static_cast<const float*>(args.packed),
       .bias = args.bias,
       .y = args.y});
}

void CpuMatmul::input_gradient(const InputGradientProduct& args) {
  MEGALITH_CHECK(args.dy.columns() == args.w.rows() && args.dx.columns() == args.w.columns() &&
                     args.dx.rows() == args.dy.rows() && args.dy.dtype == args.w.dtype,
                 "{} x {} -> {}", describe(args.dy), describe(args.w), describe(args.dx));
  order_.set(args.order, args.dy.columns(), args.dy.dtype == DType::bf16);
  run({.a = args.dy, .w = args.w, .transposed = false, .bias = {}, .y = args.dx});
}

bool CpuMatmul::rows_are_words(const Tensor& a) const {
  const std::int64_t terms = terms_in_word(a.dtype);
  if (a.dtype == DType::bf16 && terms == 1) return false;  // widened
  return a.row_stride % terms == 0 && ProductPlan::can_read_in_place(order_, terms);
}

template <class T>
void CpuMatmul::pack_row(const Tensor& a, std::int64_t row, float* to) const {
  const std::int64_t terms = terms_in_word(a.dtype);
  const T* from = a.row<T>(row);
  if (order_.parts_are_whole()) {
    for (const ChainPart& part : order_.parts())
      pack_chain(from + part.source, part.count, to + part.packed / terms);
  } else {
    gather_words<T>(order_.sources().data(), order_.length(), terms, 1, to,
                    [from](std::int64_t source) { return from[source]; });
  }
}

// A in chain order, [rows][words].
template <class T>
void CpuMatmul::pack_rows(const Tensor& a, float* packed) {
  const std::int64_t words = order_.length() / terms_in_word(a.dtype);
  pool_.for_range(a.rows(), 16, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) pack_row<T>(a, r, packed + r * words);
  });
}

// The panel [words of the chunk][columns] of columns from `first` of y; columns past the end are zero.
template <class T>
void CpuMatmul::pack_strip(const Product& product, std::int64_t first, const PieceChunk& chunk,
                           float* panel) const {
  const std::int64_t terms = terms_in_word(product.w.dtype);
  if (!order_.parts_are_whole()) return gather_strip<T>(product, first, chunk, panel);
  for (const ChainPart& part : order_.parts()) {
    const std::int64_t begin = std::max(part.packed, chunk.first_word * terms);
    const std::int64_t end = std::min(part.packed + part.count, chunk.last_word * terms);
    if (begin >= end) continue;
    pack_part<T>(product, first, part.source + begin - part.packed, end - begin,
                 panel + (begin / terms - chunk.first_word) * kernels_.columns);
  }
}

template <class T>
void CpuMatmul::pack_part(const Product& product, std::int64_t first, std::int64_t source, std::int64_t terms,
                          float* panel) const {
  const std::int64_t columns = kernels_.columns;
  const std::int64_t count = std::min(columns, product.y.columns() - first);
  if (product.transposed) {
    pack_transposed(product.w.row<T>(first) + source, product.w.row_stride, count, terms, panel);
    return;
  }
  const T* from = product.w.row<T>(source) + first;
  const std::int64_t whole = product.w.dtype == DType::bf16 ? terms / 2 * 2 : terms;
  pack_panel(from, product.w.row_stride, whole, count, columns, panel);
  if (whole < terms) {  // the odd row is its pair's low element
    const std::int64_t word = whole / terms_in_word(product.w.dtype);
    float* to = panel + word * columns;
    const T* last = from + whole * product.w.row_stride;
    const bool single = terms_in_word(product.w.dtype) == 1;
    for (std::int64_t j = 0; j < columns; ++j) {
      const float value = j < count ? to_float(last[j]) : 0.0f;
      if (single) {
        to[j] = 0.0f;
        to[columns + j] = value;
      } else {
        to[j] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) >> 16);
      }
    }
  }
}

template <class T>
void CpuMatmul::gather_strip(const Product& product, std::int64_t first, const PieceChunk& chunk,
                             float* panel) const {
  const std::int64_t columns = kernels_.columns;
  const std::int64_t terms = terms_in_word(product.w.dtype);
  const std::int64_t places = (chunk.last_word - chunk.first_word) * terms;
  const std::int64_t* sources = order_.sources().data() + chunk.first_word * terms;
  for (std::int64_t j = 0; j < columns; ++j) {
    const std::int64_t column = first + j;
    gather_words<T>(sources, places, terms, columns, panel + j, [&](std::int64_t source) {
      if (column >= product.y.columns()) return T{};
      return product.transposed ? product.w.row<T>(column)[source] : product.w.row<T>(source)[column];
    });
  }
}

void CpuMatmul::finish_tile(const Product& product, TileRows rows, std::int64_t column,
                            const float* tile) const {
  const std::int64_t count = std::min<std::int64_t>(kernels_.columns, product.y.columns() - column);
  const float* bias = product.bias.empty() ? nullptr : product.bias.as<float>() + column;
  for (std::int64_t i = 0; i < rows.count; ++i) {
    const float* from = tile + i * kernels_.columns;
    if (product.y.dtype == DType::f32) {
      kernels_.store_f32(from, bias, count, product.y.row<float>(rows.first + i) + column);
    } else {
      kernels_.store_bf16(from, bias, count, product.y.row<bf16>(rows.first + i) + column);
    }
  }
}

// The chunk's pieces of one tile. A leaf that ends joins the subtrees it completes, like a binary counter's
// carry.
void CpuMatmul::multiply_tile(DType dtype, const PieceChunk& chunk, const LeftWords& left, TileRows rows,
                              const float* panel, const float* ahead, float* sums) const {
  const MatmulKernels::Tile multiply = tile_of(dtype, rows.count);
  const std::int64_t size = tile_floats();
  float* running = sums + (levels_of(order_.leaves()) + 1) * size;
  for (std::size_t p = chunk.begin; p < chunk.end; ++p) {
    const ChainPiece& piece = plan_.pieces()[p];
    const std::int64_t word = piece.panel_word - chunk.first_word;
    TileSums chains{.start = piece.first ? nullptr : running, .to = running};
    if (ahead != nullptr) chains.ahead.first = ahead + word * kLineFloats;
    if (piece.last) {
      int level = 0;
      for (; ((piece.leaf >> level) & 1) != 0; ++level)
        chains.joins[chains.num_joins++] = sums + level * size;
      chains.to = sums + level * size;
    }
    multiply(left.words + rows.first * left.stride + (left.in_chain_order ? piece.panel_word : piece.a_word),
             left.stride, 1, panel + word * kernels_.columns, piece.words, chains);
  }
}

// Tiles [tile0, tile1) of one strip of columns.
template <class T>
void CpuMatmul::strip(const Product& product, const LeftWords& left, std::int64_t first, std::int64_t tile0,
                      std::int64_t tile1, const StripMemory& memory) const {
  const std::int64_t columns = kernels_.columns;
  const std::int64_t tile_sums = (levels_of(order_.leaves()) + 2) * tile_floats();
  const bool one_chunk = plan_.chunks().size() == 1;
  const std::int64_t strip_words = order_.length() / terms_in_word(product.a.dtype);
  const std::int64_t rows = product.a.rows();
  const std::int64_t tiles = tiles_of(rows);
  for (std::size_t c = 0; c < plan_.chunks().size(); ++c) {
    const PieceChunk& chunk = plan_.chunks()[c];
    const std::int64_t chunk_words = chunk.last_word - chunk.first_word;
    const bool last = c + 1 == plan_.chunks().size();
    const float* panel = memory.panel;
    std::int64_t lines_ahead = 0;
    if (product.packed == nullptr) {
      pack_strip<T>(product, first, chunk, memory.panel);
    } else {
      panel = product.packed + first * strip_words + chunk.first_word * columns;
      if (!last || first + columns < product.y.columns()) lines_ahead = chunk_words * columns / kLineFloats;
    }
    for (std::int64_t tile = tile0; tile < tile1; ++tile) {
      const TileRows tile_rows{rows * tile / tiles, rows * (tile + 1) / tiles - rows * tile / tiles};
      float* sums = memory.sums + (one_chunk ? 0 : (tile - tile0) * tile_sums);
      // Each tile asks for its share of the packed words that follow.
      const std::int64_t line = (tile - tile0) * chunk_words;
      const float* ahead = line < lines_ahead ? panel + chunk_words * columns + line * kLineFloats : nullptr;
      multiply_tile(product.a.dtype, chunk, left, tile_rows, panel, ahead, sums);
      if (last) finish_tile(product, tile_rows, first, sums + levels_of(order_.leaves()) * tile_floats());
    }
  }
}

template <class T>
void CpuMatmul::run_typed(const Product& product) {
  if (!order_.parts_are_whole()) order_.list_sources();
  const std::int64_t terms = terms_in_word(product.a.dtype);
  const bool in_place = rows_are_words(product.a);
  plan_.set(order_, terms, in_place);
  const std::int64_t words = order_.length() / terms;
  const std::int64_t columns = kernels_.columns;
  const std::int64_t rows = product.a.rows();
  LeftWords left{static_cast<const float*>(product.a.data), product.a.row_stride / terms, false};
  if (!in_place) {
    float* packed = packed_.get<float>(static_cast<std::size_t>(rows * words));
    pack_rows<T>(product.a, packed);
    left = {packed, words, true};
  }

  const std::int64_t tiles = tiles_of(rows);
  const std::int64_t num_strips = strips(product.y.columns());
  // Rows are cut where strips alone are too few tasks, and where their sums would take too much memory.
  std::int64_t groups = (2 * pool_.num_threads() + num_strips - 1) / num_strips;
  groups = pool_.num_threads() == 1 ? 1 : std::min(groups, (tiles + 15) / 16);
  if (plan_.chunks().size() > 1) groups = std::max(groups, (tiles + kTilesPerGroup - 1) / kTilesPerGroup);
  const std::int64_t group_tiles = (tiles + groups - 1) / groups;

  const std::int64_t panel_floats = product.packed == nullptr ? plan_.longest_chunk() * columns : 0;
  const std::int64_t tile_sums = (levels_of(order_.leaves()) + 2) * tile_floats();
  const std::int64_t sum_floats = (plan_.chunks().size() == 1 ? 1 : group_tiles) * tile_sums;
  for (Scratch& scratch : thread_scratch_) {
    scratch.get<float>(static_cast<std::size_t>(panel_floats + sum_floats));
  }
  // Strips of packed weights go to a thread several at a time: it asks for the next while it works on one.
  const std::int64_t together =
      product.packed == nullptr || groups > 1
          ? 1
          : std::clamp<std::int64_t>(num_strips / (2 * pool_.num_threads()), 1, kStripsTogether);
  pool_.for_range(num_strips * groups, together, [&](std::int64_t begin, std::int64_t end, int thread) {
    float* memory = thread_scratch_[static_cast<std::size_t>(thread)].get<float>(0);
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t tile0 = task % groups * group_tiles;
      strip<T>(product, left, task / groups * columns, tile0, std::min(tile0 + group_tiles, tiles),
               {.panel = memory, .sums = memory + panel_floats});
    }
  });
}

void CpuMatmul::run(const Product& product) {
  with_float_type(product.a.dtype, [&]<class T>(T) { run_typed<T>(product); });
}

std::size_t CpuMatmul::packed_bytes(const Tensor& w, const SumOrder& order, WeightFormat format) {
  if (format == WeightFormat::q8_0) return int8_.packed_bytes(w, order);
  order_.set(order, w.columns(), w.dtype == DType::bf16);
  const std::int64_t words = order_.length() / terms_in_word(w.dtype);
  return static_cast<std::size_t>(strips(w.rows()) * words * kernels_.columns) * sizeof(float);
}

void CpuMatmul::pack(const WeightPacking& args) {
  if (args.format == WeightFormat::q8_0) return int8_.pack(args);
  order_.set(args.order, args.w.columns(), args.w.dtype == DType::bf16);
  const std::int64_t words = order_.length() / terms_in_word(args.w.dtype);
  if (!order_.parts_are_whole()) order_.list_sources();
  const PieceChunk whole{.last_word = words};
  auto* packed = static_cast<float*>(args.packed);
  const std::size_t row_bytes = strip_row_bytes(args, kernels_.columns);
  for (Scratch& scratch : thread_scratch_) scratch.get<std::byte>(row_bytes);
  const auto memory = [&](int thread) {
    return thread_scratch_[static_cast<std::size_t>(thread)].get<std::byte>(0);
  };
  with_float_type(args.w.dtype, [&]<class T>(T) {
    for_packed_strips(
        args, kernels_.columns, pool_, memory, [&](std::int64_t index, const Tensor& rows, int) {
          const Product product{
              .w = rows, .transposed = true, .y = Tensor(nullptr, DType::f32, {1, rows.rows()})};
          pack_strip<T>(product, 0, whole, packed + index * kernels_.columns * words);
        });
  });
}

void CpuMatmul::unpack(const WeightRows& args) {
  if (args.format == WeightFormat::q8_0) return int8_.unpack(args);
  order_.set(args.order, args.w.columns(), args.w.dtype == DType::bf16);
  order_.list_sources();
  const std::int64_t terms = terms_in_word(args.w.dtype);
  const std::int64_t words = order_.length() / terms;
  const std::int64_t columns = kernels_.columns;
  with_float_type(args.w.dtype, [&]<class T>(T) {
    for (std::int64_t r = 0; r < args.to.rows(); ++r) {
      const std::int64_t row = args.rows[r];
      const float* panel =
          static_cast<const float*>(args.packed) + row / columns * columns * words + row % columns;
      for (std::int64_t place = 0; place < order_.length(); ++place) {
        const std::int64_t source = order_.sources()[static_cast<std::size_t>(place)];
        if (source < 0) continue;
        const float word = panel[place / terms * columns];
        args.to.row<T>(r)[source] = term_of<T>(word, terms == 2, place % 2 == 0);
      }
    }
  });
}

std::unique_ptr<MatmulOps> make_matmul(ThreadPool& pool, Isa isa) {
  return std::make_unique<CpuMatmul>(pool, isa);
}

}  // namespace megalith::cpu
