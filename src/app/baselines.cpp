#include "app/baselines.h"

#include <fmt/format.h>
#include <lzma.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <memory>
#include <new>

#include "core/error.h"

namespace megalith::app {
namespace {

double bits_per_byte(std::size_t coded, std::size_t bytes) {
  return 8.0 * static_cast<double>(coded) / static_cast<double>(bytes);
}

}  // namespace

double unigram_bits_per_byte(std::span<const std::uint64_t> counts,
                             std::span<const std::int32_t> held_out_ids, std::size_t held_out_bytes) {
  MEGALITH_CHECK(held_out_bytes > 0);
  double total = static_cast<double>(counts.size());
  for (const std::uint64_t count : counts) total += static_cast<double>(count);
  double bits = 0;
  for (const std::int32_t id : held_out_ids) {
    MEGALITH_CHECK(id >= 0 && static_cast<std::size_t>(id) < counts.size(), "id {} of {}", id, counts.size());
    bits += std::log2(total / (static_cast<double>(counts[static_cast<std::size_t>(id)]) + 1));
  }
  return bits / static_cast<double>(held_out_bytes);
}

std::size_t xz_size(std::string_view text) {
  lzma_options_lzma options;
  MEGALITH_CHECK(!lzma_lzma_preset(&options, 9 | LZMA_PRESET_EXTREME));
  // A dictionary beyond the text changes nothing but the memory taken.
  const std::size_t needed = std::bit_ceil(std::max<std::size_t>(text.size(), 1u << 20));
  if (needed < options.dict_size) options.dict_size = static_cast<std::uint32_t>(needed);
  lzma_filter filters[] = {{.id = LZMA_FILTER_LZMA2, .options = &options},
                           {.id = LZMA_VLI_UNKNOWN, .options = nullptr}};
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_encoder(&stream, filters, LZMA_CHECK_CRC64) != LZMA_OK) throw std::bad_alloc();
  stream.next_in = reinterpret_cast<const std::uint8_t*>(text.data());
  stream.avail_in = text.size();
  std::array<std::uint8_t, 65536> output;  // only its size is of interest
  lzma_ret result = LZMA_OK;
  while (result == LZMA_OK) {
    stream.next_out = output.data();
    stream.avail_out = output.size();
    result = lzma_code(&stream, LZMA_FINISH);
  }
  const std::uint64_t size = stream.total_out;
  lzma_end(&stream);
  if (result == LZMA_MEM_ERROR) throw std::bad_alloc();
  MEGALITH_CHECK(result == LZMA_STREAM_END, "lzma_code returned {}", static_cast<int>(result));
  return size;
}

std::size_t zstd_size(std::string_view text) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  if (context == nullptr) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, 19);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);  // as the zstd program does
  std::vector<char> output(ZSTD_compressBound(text.size()));
  const std::size_t size =
      ZSTD_compress2(context.get(), output.data(), output.size(), text.data(), text.size());
  if (ZSTD_isError(size) != 0) throw WorldFailed(std::string("zstd: ") + ZSTD_getErrorName(size));
  return size;
}

std::vector<Baseline> compute_baselines(std::string_view training, std::string_view held_out,
                                        std::span<const std::uint64_t> counts,
                                        std::span<const std::int32_t> held_out_ids) {
  if (held_out.empty()) return {};
  std::string note = "what the held-out text adds to the compressed training text";
  if (training.size() > kMostConditioningBytes) {
    training.remove_prefix(training.size() - kMostConditioningBytes);
    note = fmt::format("what the held-out text adds to the last {} MiB of the training text, compressed",
                       kMostConditioningBytes >> 20);
  }
  const std::string both = std::string(training) + std::string(held_out);
  return {
      {"unigram", unigram_bits_per_byte(counts, held_out_ids, held_out.size()),
       "token frequencies of the training text, same tokenizer"},
      {"xz -9e", bits_per_byte(xz_size(held_out), held_out.size()), "of the held-out text alone"},
      {"zstd -19", bits_per_byte(zstd_size(held_out), held_out.size()), "of the held-out text alone"},
      {"xz -9e after the training text", bits_per_byte(xz_size(both) - xz_size(training), held_out.size()),
       note},
  };
}

}  // namespace megalith::app
