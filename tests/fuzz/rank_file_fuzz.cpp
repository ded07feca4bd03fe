// Any bytes are a rank file whose tokenizer gives back what it encodes, or are refused.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = megalith::Tokenizer::parse_rank_file(text, "fuzz", megalith::PiecePattern::cl100k);
  if (!tokenizer || !tokenizer->lossless()) return 0;
  std::vector<std::int32_t> ids;
  tokenizer->encode("a b\xff", ids);
  MEGALITH_CHECK(megalith::value_or_throw(tokenizer->decode(ids)) == "a b\xff");
  return 0;
}
