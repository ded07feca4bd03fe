// Encodes many texts from one thread: keeps scratch memory and the ids of recent pieces between calls.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "data/tokenizer/bpe_merges.h"
#include "data/tokenizer/piece_cache.h"
#include "data/tokenizer/piece_splitter.h"
#include "data/tokenizer/tokenizer.h"

namespace megalith {

// Gives what Tokenizer::encode gives. One per thread. Memory: a PieceCache (5 MiB), plus about 30 bytes
// per byte of the longest piece seen (PieceSplitter::kLongestPiece bounds it).
class TokenEncoder {
 public:
  enum class Cache { yes, no };  // filling one does not pay for a single short text

  explicit TokenEncoder(const Tokenizer& tokenizer, Cache cache = Cache::yes);

  // Appends the ids of `text`.
  void encode(std::string_view text, std::vector<std::int32_t>& ids,
              SpecialTokens special = SpecialTokens::as_text);

 private:
  void encode_text(std::string_view text, std::vector<std::int32_t>& ids);
  void encode_text_with_cache(std::string_view text, std::vector<std::int32_t>& ids);
  void encode_rare_piece(std::string_view piece, bool may_be_known, std::vector<std::int32_t>& ids);
  // U+FFFD where the vocabulary has no entry for the byte.
  void push_byte(char byte, std::vector<std::int32_t>& ids) const;
  void merge_piece(std::string_view piece, std::vector<std::int32_t>& ids);

  Tokenizer tokenizer_;
  const TokenizerModel* model_;
  PieceSplitter::Walk walk_;
  PieceMerger merger_;
  std::optional<PieceCache> cache_;
};

}  // namespace megalith
