#include "app/baselines.h"

#include <fmt/format.h>
#include <lzma.h>
#include <zstd.h>

#include <bit>
#include <cmath>
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
  std::vector<std::uint8_t> output(lzma_stream_buffer_bound(text.size()));
  std::size_t size = 0;
  const lzma_ret result = lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC64, nullptr,
                                                    reinterpret_cast<const std::uint8_t*>(text.data()),
                                                    text.size(), output.data(), &size, output.size());
  if (result == LZMA_MEM_ERROR) throw std::bad_alloc();
  MEGALITH_CHECK(result == LZMA_OK, "lzma_stream_buffer_encode returned {}", static_cast<int>(result));
  return size;
}

std::size_t zstd_size(std::string_view text) {
  std::vector<char> output(ZSTD_compressBound(text.size()));
  const std::size_t size = ZSTD_compress(output.data(), output.size(), text.data(), text.size(), 19);
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
