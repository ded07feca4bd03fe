// Any bytes as a tokenizer.json, as GPT-2's files and as text: refused or right, never a crash, a hang or a
// lost byte.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/tokenizer.h"

namespace {

using megalith::Expected;
using megalith::SpecialTokens;
using megalith::Tokenizer;

void must_not_lose(const Tokenizer& tokenizer, std::string_view text) {
  for (const SpecialTokens special : {SpecialTokens::as_text, SpecialTokens::recognized}) {
    std::vector<std::int32_t> ids;
    try {
      tokenizer.encode(text, ids, special);
    } catch (const megalith::RefusedInput&) {
      return;  // a pattern of the file's own that takes exponential time
    }
    const std::string decoded = megalith::value_or_throw(tokenizer.decode(ids));
    MEGALITH_CHECK(decoded == text || !tokenizer.lossless());
  }
}

void must_read_back(const Tokenizer& tokenizer) {
  const Expected<Tokenizer> again = Tokenizer::parse_json(tokenizer.to_json(), "saved");
  MEGALITH_CHECK(again.has_value(), "{}", megalith::to_string(again.error()));
  MEGALITH_CHECK(again->digest() == tokenizer.digest());
  MEGALITH_CHECK(again->to_json() == tokenizer.to_json());
}

Tokenizer known_tokenizer() {
  megalith::TextsInMemory source(
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}} the the   the"});
  return megalith::value_or_throw(megalith::train_bpe(source, {.vocabulary_size = 280}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Tokenizer known = known_tokenizer();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view text = input.substr(0, 4096);
  must_not_lose(known, text);
  for (const Expected<Tokenizer>& tokenizer :
       {Tokenizer::parse_json(input, "input"), Tokenizer::parse_gpt2_files(input, "input", "", "merges")}) {
    if (!tokenizer) continue;
    must_not_lose(*tokenizer, text);
    must_read_back(*tokenizer);
  }
  return 0;
}
