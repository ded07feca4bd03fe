// The pre_tokenizer of a tokenizer.json: from JSON to a known pattern or to stages, and back.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/tokenizer/vocabulary_files.h"

namespace megalith {

// `steps` are those of the Sequence, or the one that stands alone; `value` is what stood in the file.
void read_pre_tokenizer(const std::vector<nlohmann::json>& steps, const nlohmann::json& value,
                        PartsReader& parts);

// As Hugging Face's library writes it, except for the line breaks.
std::string pre_tokenizer_json(const TokenizerParts& parts);

}  // namespace megalith
