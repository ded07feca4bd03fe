// What a held-out text costs in bits per byte under simple coders: the honest comparison for a language
// model.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace megalith::app {

struct Baseline {
  std::string name;
  double bits_per_byte = 0;
  std::string note;
};

// Bits per byte of the held-out text under the unigram model: each token costs -log2 of (count + 1) over
// (tokens counted + vocabulary), counts being those of the training tokens and their number the vocabulary.
// REQUIRES: 0 <= id < counts.size() for every id; held_out_bytes > 0.
double unigram_bits_per_byte(std::span<const std::uint64_t> counts,
                             std::span<const std::int32_t> held_out_ids, std::size_t held_out_bytes);

// Bytes of what `xz -9e` and `zstd -19` would write. The memory taken is about 12 times the text's size, at
// most 700 MB.
std::size_t xz_size(std::string_view text);
std::size_t zstd_size(std::string_view text);

// Of longer training texts only this much of the end conditions xz, and the note says so: about a second per
// megabyte.
inline constexpr std::size_t kMostConditioningBytes = 16u << 20;

// The four baselines: unigram, xz and zstd on the held-out text alone, and xz conditioned on the training
// text (size of both minus size of the training text). Empty when the held-out text is empty.
std::vector<Baseline> compute_baselines(std::string_view training, std::string_view held_out,
                                        std::span<const std::uint64_t> counts,
                                        std::span<const std::int32_t> held_out_ids);

}  // namespace megalith::app
