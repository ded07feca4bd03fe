// Texts and the ids that published tokenizers give them: files that lie beside the project where it is
// developed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "data/tokenizer/tokenizer.h"

namespace megalith {

inline const std::filesystem::path kTokenizers =
    std::filesystem::path(MEGALITH_SHARED_DIR) / "data" / "tokenizers";

inline std::string text_of(const std::filesystem::path& path) {
  return value_or_throw(read_file(path, 64 << 20));
}

inline std::vector<std::int32_t> encode(const Tokenizer& tokenizer, std::string_view text,
                                        SpecialTokens special = SpecialTokens::as_text) {
  std::vector<std::int32_t> ids;
  tokenizer.encode(text, ids, special);
  return ids;
}

inline std::vector<std::int32_t> numbers_in(std::string line) {
  for (char& c : line) {
    if (c == '[' || c == ']' || c == ',') c = ' ';
  }
  std::istringstream stream(line);
  std::vector<std::int32_t> ids;
  for (std::int32_t id = 0; stream >> id;) ids.push_back(id);
  return ids;
}

struct EncodedText {
  std::string text;
  std::vector<std::int32_t> ids;
};

// Texts with "\n__ggml_vocab_test__\n" between them, and one line of ids for each. `name` is "gpt-2",
// "qwen2".
inline std::vector<EncodedText> ggml_vectors(const std::string& name) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  const std::filesystem::path stem = kTokenizers / "llama.cpp" / ("ggml-vocab-" + name + ".gguf");
  const std::string texts = text_of(stem.string() + ".inp");
  std::istringstream lines(text_of(stem.string() + ".out"));
  std::vector<EncodedText> vectors;
  for (std::size_t at = 0; at <= texts.size();) {
    const std::size_t end = texts.find(kSeparator, at);
    std::string line;
    std::getline(lines, line);
    if (end == std::string::npos) break;  // what follows the last separator is empty
    vectors.push_back({texts.substr(at, end - at), numbers_in(line)});
    at = end + kSeparator.size();
  }
  return vectors;
}

// "EncodingName: NAME\nSample: TEXT\nEncoded: [IDS]\n\n", and other encodings in between.
inline std::vector<EncodedText> tiktoken_vectors(const std::string& name) {
  const std::string plans = text_of(kTokenizers / "tiktoken/TestPlans.txt");
  const std::string begin = "EncodingName: " + name + "\nSample: ";
  constexpr std::string_view kMiddle = "\nEncoded: ";
  std::vector<EncodedText> vectors;
  for (std::size_t at = 0; (at = plans.find(begin, at)) != std::string::npos;) {
    at += begin.size();
    const std::size_t middle = plans.find(kMiddle, at);
    const std::size_t ids = middle + kMiddle.size();
    const std::size_t end = plans.find('\n', ids);
    vectors.push_back({plans.substr(at, middle - at), numbers_in(plans.substr(ids, end - ids))});
    at = end;
  }
  return vectors;
}

}  // namespace megalith
