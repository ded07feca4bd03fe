// config.json of a Hugging Face model folder: which of our shapes it is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/tensor.h"
#include "model/model_config.h"

namespace megalith {

enum class HuggingFaceKind : std::uint8_t { gpt2, gpt_neox, llama, mistral, qwen2 };

struct HuggingFaceConfig {
  HuggingFaceKind kind = HuggingFaceKind::llama;
  ModelConfig model;                  // resolved; dropout 0, which is what inference does
  DType stored = DType::f32;          // bf16 where the file says so, f32 else (float16 is exact in it)
  std::vector<std::int32_t> end_ids;  // eos_token_id, those that are ids: where a text ends
};

// Refuses by name every key that says something this program does not do, and every key it does not know:
// a setting that is passed over would make another model. `where` begins every refusal: the file's path.
Expected<HuggingFaceConfig> parse_huggingface_config(std::string_view text, const std::string& where);

}  // namespace megalith
