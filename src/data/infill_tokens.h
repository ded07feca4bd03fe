// The tokens that mark the parts of a text whose middle is to be filled in, and the prompt made of them
// (Bavarian et al., "Efficient Training of Language Models to Fill in the Middle", 2022).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace megalith {

struct InfillTokens {
  std::int32_t prefix = 0;  // before what stands left of the gap
  std::int32_t suffix = 0;  // before what stands right of it
  std::int32_t middle = 0;  // before what belongs into it
  std::int32_t end = 0;     // behind that: <|endoftext|>
};

// How tokenizers that are trained with --infill spell the first three.
std::vector<std::string> usual_infill_tokens();

// REQUIRES: three names, in the order of InfillTokens. Refused, with `where`: a tokenizer that lacks one of
// them or <|endoftext|>, and one that puts a space in front of every text and so of every part.
Expected<InfillTokens> find_infill_tokens(const Tokenizer& tokenizer, std::span<const std::string> names,
                                          const std::string& where);

// What a model is to continue with the text between `left` and `right`.
std::vector<std::int32_t> infill_prompt(const Tokenizer& tokenizer, const InfillTokens& tokens,
                                        std::string_view left, std::string_view right);

}  // namespace megalith
