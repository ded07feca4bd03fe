// The steps around the model of a tokenizer.json: normalizer, pre_tokenizer, post_processor and decoder.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "data/tokenizer/vocabulary_files.h"

namespace megalith {

// Puts what they ask for into the parts. Refused by name: every step whose effect on ids or on decoded text
// is not known exactly.
void read_pipeline(const nlohmann::json& document, PartsReader& parts);

}  // namespace megalith
