#include "core/numerics_profile.h"

#include <bit>

namespace megalith {

int gradient_shift(std::int64_t batch_tokens_max) {
  MEGALITH_CHECK(batch_tokens_max >= 1 && batch_tokens_max <= (std::int64_t{1} << 40), "{}",
                 batch_tokens_max);
  return 46 - std::bit_width(static_cast<std::uint64_t>(batch_tokens_max - 1));
}

std::string to_string(const NumericsProfile& profile) {
  return fmt::format(
      "{}-v{} tree={} slices={} grain={} key_block={} attention_split={} vocab_block={} "
      "batch_tokens_max={} {}",
      profile.mode == NumericsMode::fast ? "fast" : "exact", profile.version, profile.tree,
      profile.sequence_slices, profile.grain, profile.key_block, profile.attention_split, profile.vocab_block,
      profile.batch_tokens_max, name_of(profile.compute));
}

}  // namespace megalith
