// Encodes many texts from one thread: keeps scratch memory and the ids of recent pieces between calls.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "data/tokenizer/bpe_merges.h"
#include "data/tokenizer/piece_splitter.h"
#include "data/tokenizer/piece_stages.h"
#include "data/tokenizer/tokenizer.h"

namespace megalith {

// Gives what Tokenizer::encode gives. One per thread. Memory: the cache below (4 MiB), plus about 30 bytes
// per byte of the longest piece seen (PieceSplitter::kLongestPiece bounds it).
class TokenEncoder {
 public:
  enum class Cache { yes, no };  // filling one does not pay for a single short text

  explicit TokenEncoder(const Tokenizer& tokenizer, Cache cache = Cache::yes);

  // Appends the ids of `text`. Throws RefusedInput where a pattern of the tokenizer's own file takes
  // exponential time on it.
  void encode(std::string_view text, std::vector<std::int32_t>& ids,
              SpecialTokens special = SpecialTokens::as_text);

 private:
  // A piece and its ids in one cache line. Longer pieces and those of more ids are merged afresh each time.
  struct alignas(64) Remembered {
    static constexpr std::size_t kBytes = 22, kIds = 10;
    std::uint8_t num_bytes = 0;  // 0: empty
    std::uint8_t num_ids = 0;
    char bytes[kBytes];
    std::int32_t ids[kIds];
  };
  static constexpr std::size_t kRemembered = 1 << 16;  // one place per piece, by its hash; the latest stays

  void encode_text(std::string_view text, std::vector<std::int32_t>& ids);
  void encode_piece(std::string_view piece, std::vector<std::int32_t>& ids);
  // U+FFFD where the vocabulary has no entry for the byte.
  void push_byte(char byte, std::vector<std::int32_t>& ids) const;
  void merge_piece(std::string_view piece, std::vector<std::int32_t>& ids);

  Tokenizer tokenizer_;
  const TokenizerModel* model_;
  PieceSplitter::Walk walk_;
  std::optional<PieceStages::Cutter> stages_;
  PieceMerger merger_;
  std::vector<Remembered> cache_;
};

}  // namespace megalith
